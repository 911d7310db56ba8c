"""Which revision is in a file, and which are before it? Read without running it."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from dbops.operations.migrate.at_head.beginning import beginning
from dbops.operations.migrate.at_head.unsure import UnsureError

_NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
# Whatever binds a name without naming it in an assignment.
_DYNAMIC = frozenset(
    {
        "exec", "eval", "vars", "globals", "f_globals", "__globals__", "locals",
        "f_locals", "setattr", "delattr", "modules", "__dict__", "__getattr__",
    }
)  # fmt: skip
_ILLEGAL = re.compile(r"[@+:-]|\A(?:heads?|base)?\Z")


class RevisionText(NamedTuple):
    """One revision, and what it names."""

    revision: str
    down: tuple[str, ...]
    labels: tuple[str, ...]
    depends_on: tuple[str, ...]


def read_revision(source: bytes) -> RevisionText:
    """Read the revision in a file.

    Args:
        source: The file.

    Raises:
        UnsureError: If running the file might give another revision.
        Exception: Whatever decoding or parsing raises.
    """
    # Parsing takes thirty times as long, and a project has hundreds of files.
    values = beginning(source)
    if values is None:
        values = _parsed(source)
    if "revision" not in values or "down_revision" not in values:
        raise UnsureError("no revision")
    revision = values["revision"]
    if not isinstance(revision, str) or _ILLEGAL.search(revision):
        raise UnsureError("not an identifier")
    down, labels, depends_on = (_several(values.get(name)) for name in _NAMES[1:])
    return RevisionText(revision, down, labels, depends_on)


def _parsed(source: bytes) -> Mapping[str, object]:
    """Read any file, where each name is bound once, to a literal."""
    with warnings.catch_warnings():
        # About escapes in strings, which whoever runs the file hears again.
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    values: dict[str, object] = {}
    for statement in tree.body:
        for name, value in _assigned(statement):
            values[name] = ast.literal_eval(value)
    bound = [name for node in ast.walk(tree) for name in _bound(node)]
    if "*" in bound or sum(name in _NAMES for name in bound) != len(values):
        raise UnsureError("bound in another way")
    return values


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """Yield what a statement of the module assigns to one of our names."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pairs = [(name, value)]
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            pairs = _named(zip(names, values, strict=True))
        case ast.Assign(targets=targets, value=value):
            pairs = _named((target, value) for target in targets)
        case _:
            return
    yield from ((name, value) for name, value in pairs if name in _NAMES)


def _named(
    pairs: Iterable[tuple[ast.expr, ast.expr]],
) -> list[tuple[str, ast.expr]]:
    return [(to.id, value) for to, value in pairs if isinstance(to, ast.Name)]


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds, wherever it stands; `*` for any name."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.Name(id=name) | ast.Attribute(attr=name):
            is_set = not isinstance(node.ctx, ast.Load) and name in _NAMES
            if is_set or name in _DYNAMIC:
                yield "*"
        case ast.alias(name=name, asname=alias):
            yield alias or name.partition(".")[0]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield "*" if name == "__getattr__" else name
        case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case ast.Global(names=names):
            yield from names
        case _:
            pass


def _several(value: object) -> tuple[str, ...]:
    """Return a value of `down_revision` and its like, as Alembic takes it."""
    if value is None:
        return ()
    several = (value,) if isinstance(value, str) else value
    if not isinstance(several, (tuple, list)):
        raise UnsureError("not a tuple")
    if not all(isinstance(each, str) and each for each in several):
        raise UnsureError("not an identifier")
    return tuple(several)

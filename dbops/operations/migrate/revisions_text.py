"""Which revision is in a file, and which are before it? Read without running it.

A file as Alembic writes it begins with a docstring, comments, imports and four names;
regular expressions read that beginning exactly. Any other file is parsed, which takes
ten times as long.
"""

import ast
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dbops.operations.migrate.unsure import UnsureError

_NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
_NAMED = r"(?:revision|branch_labels|depends_on)"

_BLANK = r"(?:[ \t]*(?:#[^\n]*)?\n)*+"
_DOCSTRING = (
    r'(?:[rR]?"""[^"\\]*+(?:(?:\\[\s\S]|"(?!""))[^"\\]*+)*+"""[ \t]*\n'
    r"|[rR]?'''[^'\\]*+(?:(?:\\[\s\S]|'(?!''))[^'\\]*+)*+'''[ \t]*\n"
    r"""|"[^"\\\n]++"[ \t]*\n|'[^'\\\n]++'[ \t]*\n)?+"""
)
_IMPORT = (
    rf"(?:import|from)[ \t](?![^\n]*{_NAMED})[\w., \t]+"
    rf"(?:\((?:(?!{_NAMED})[\w,\s])*\)[ \t]*)?(?:#[^\n]*)?\n"
)
_BEGINNING = re.compile(
    rf"{_BLANK}{_DOCSTRING}{_BLANK}(?:{_IMPORT}{_BLANK})*+", re.ASCII
)
# A value in brackets is read by Python itself, which refuses half of a string.
_ASSIGNMENT = re.compile(
    r"(revision|down_revision|branch_labels|depends_on)[ \t]*(?::[\w., |\[\]\t]+)?="
    r"""[ \t]*(?:(None)|'([^'\\\n]*)'|"([^"\\\n]*)\""""
    r"|(\([^()\[\]#]*\)|\[[^()\[\]#]*\]))"
    rf"[ \t]*(?:#[^\n]*)?\n{_BLANK}",
    re.ASCII,
)
# Whatever binds a name without naming it in an assignment.
_DYNAMIC = (
    re.compile(r"import[\s\\(]*\*"),
    re.compile(r"exec(?!ut)"),
    re.compile(r"eval\s*\("),
    re.compile(r"vars\s*\("),
    re.compile(r"globals|locals"),
    re.compile(r"setattr"),
    re.compile(r"__(?:dict|getattr)__"),
    re.compile(r"modules\s*\["),
)
_ILLEGAL = re.compile(r"[@+:-]|\A(?:heads?|base)?\Z")
_COOKIE = re.compile(rb"(?:[^\n]*\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


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
    values = _at_the_beginning(source)
    if values is None:
        values = _parsed(source)
    if "revision" not in values or "down_revision" not in values:
        raise UnsureError("no revision")
    revision = values["revision"]
    if not isinstance(revision, str) or _ILLEGAL.search(revision):
        raise UnsureError("not an identifier")
    down, labels, depends_on = (_several(values.get(name)) for name in _NAMES[1:])
    return RevisionText(revision, down, labels, depends_on)


def _at_the_beginning(source: bytes) -> Mapping[str, object] | None:
    """Read a file as Alembic writes it; None for any other."""
    cookie = _COOKIE.match(source)
    if cookie and cookie[1].lower() not in (b"utf-8", b"utf8"):
        return None
    text = source.decode("utf-8-sig") + "\n"
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    values: dict[str, object] = {}
    begun = _BEGINNING.match(text)
    position = begun.end() if begun else 0
    while found := _ASSIGNMENT.match(text, position):
        name, none, single, double, several = found.groups()
        if name in values:
            return None
        plain = None if none else single if double is None else double
        values[name] = ast.literal_eval(several) if several else plain
        position = found.end()
    rest = text[position:]
    if not rest.isascii():
        # Python takes other forms of a letter for the letter.
        rest = unicodedata.normalize("NFKC", rest)
    names = ("revision", "branch_labels", "depends_on")
    if any(name in rest for name in names) or any(it.search(rest) for it in _DYNAMIC):
        return None
    return values


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
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pairs = [(name, value)]
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            pairs = [
                (target.id, value)
                for target, value in zip(names, values, strict=True)
                if isinstance(target, ast.Name)
            ]
        case _:
            return
    yield from ((name, value) for name, value in pairs if name in _NAMES)


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds, wherever it stands; `*` for any name."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.Name(id=name) | ast.Attribute(attr=name):
            code = name + "(" if name in ("eval", "vars") else name
            is_reach = name in ("modules", "exec") or any(
                it.search(code) for it in _DYNAMIC
            )
            if is_reach or (not isinstance(node.ctx, ast.Load) and name in _NAMES):
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

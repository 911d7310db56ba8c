"""Which database does an env.py lead to? Read without running it.

What it imports is the project's own code, which could do anything, and is taken to do
nothing to Alembic.
"""

import ast
import warnings
from collections.abc import Sequence
from enum import Enum, auto

from dbops.operations.migrate.at_head.names import (
    MEANINGS,
    imported,
    is_database_url,
    is_harmless,
)
from dbops.operations.migrate.at_head.shapes import (
    FUNCTIONS,
    HARMLESS,
    is_known,
    is_plain,
)
from dbops.operations.migrate.at_head.unsure import UnsureError


class Leads(Enum):
    """Whose connection the revisions run on."""

    TO_THE_LENT = auto()
    """The one that dbops lends."""
    TO_THE_CONFIGURED = auto()
    """What `sqlalchemy.url` names, or dbops' settings where it names nothing."""
    TO_DATABASE_URL = auto()
    """What the environment's variable DATABASE_URL names."""


_CONFIG = ast.dump(ast.parse("context.config", mode="eval").body)
_IS_OFFLINE = ast.dump(ast.parse("context.is_offline_mode()", mode="eval").body)
_HAS_FILE = tuple(
    ast.dump(ast.parse(text, mode="eval").body)
    for text in ("config.config_file_name is not None", "config.config_file_name")
)


def read_env(source: bytes) -> Leads:
    """Tell which database an env.py leads to, and that its table is `alembic_version`.

    Args:
        source: The file.

    Raises:
        UnsureError: If it is none of those that dbops knows.
        Exception: Whatever parsing raises.
    """
    with warnings.catch_warnings():
        # About escapes in strings, which whoever runs the file hears again.
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    reader = _Reader()
    for statement in tree.body:
        reader.read(statement)
    return reader.leads()


class _Reader:
    """Reads the statements of an env.py one after another."""

    def __init__(self) -> None:
        self._bound: set[str] = set()
        self._functions: dict[str, ast.stmt] = {}
        self._start: ast.stmt | None = None
        self._borrows = False
        self._urls: set[str] = set()
        self._is_variable = False

    def leads(self) -> Leads:
        """Return what all statements together lead to."""
        if self._borrows and not self._is_variable:
            return Leads.TO_THE_LENT
        if self._start is None or "config" not in self._bound:
            raise UnsureError("no way that is known")
        if not is_known(self._functions, self._start):
            raise UnsureError("not a template")
        return Leads.TO_DATABASE_URL if self._is_variable else Leads.TO_THE_CONFIGURED

    def read(self, statement: ast.stmt) -> None:
        """Take one statement of the module."""
        if self._start is not None or self._borrows:
            raise UnsureError("something after the end")
        match statement:
            case ast.Import() | ast.ImportFrom():
                for name, meaning in imported(statement):
                    self._bind(name, meaning)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assign(name, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._assign(name, value)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(statement)
            case ast.If(test=test, body=body, orelse=orelse):
                self._choose(test, body, orelse)
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.Expr(value=ast.Call() as call):
                self._call(call, statement)
            case _:
                raise UnsureError("an unknown statement")

    def _bind(self, name: str, meaning: str | None = None) -> None:
        self._urls.discard(name)
        if name in MEANINGS:
            known = MEANINGS[name]
            if meaning not in known if known else name in self._bound:
                raise UnsureError("a name with another meaning")
        self._bound.add(name)

    def _assign(self, name: str, value: ast.expr) -> None:
        if name == "config":
            if ast.dump(value) != _CONFIG:
                raise UnsureError("another configuration")
        elif name in MEANINGS or not (is_database_url(value) or is_harmless(value)):
            raise UnsureError("a value that has to be computed")
        self._bind(name)
        (self._urls.add if is_database_url(value) else self._urls.discard)(name)

    def _is_database_url(self, value: ast.expr) -> bool:
        is_named = isinstance(value, ast.Name) and value.id in self._urls
        return is_named or is_database_url(value)

    def _define(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = function.args
        around = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
        if function.decorator_list or not all(map(is_plain, around)):
            raise UnsureError("a definition that runs something")
        self._bind(function.name)
        if function.name in FUNCTIONS:
            self._functions[function.name] = function

    def _choose(
        self, test: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]
    ) -> None:
        if ast.dump(test) == _IS_OFFLINE and len(orelse) == 1:
            self._start = orelse[0]
            return
        # A variable that is not set is left to Alembic altogether.
        is_true = isinstance(test, ast.Name) and test.id in self._urls
        if orelse or not (is_true or ast.dump(test) in _HAS_FILE):
            raise UnsureError("an unknown condition")
        before = self._is_variable, self._start, self._borrows
        for statement in body:
            self.read(statement)
        if not is_true and before != (self._is_variable, self._start, self._borrows):
            raise UnsureError("more than a log")

    def _call(self, call: ast.Call, statement: ast.stmt) -> None:
        match call:
            case ast.Call(func=ast.Name("run_migrations_online")):
                self._start = statement
            case ast.Call(func=ast.Name("run_migrations")):
                self._borrow(call)
            case ast.Call(
                func=ast.Attribute(ast.Name("config"), "set_main_option"),
                args=[ast.Constant("sqlalchemy.url"), url],
                keywords=[],
            ) if self._is_database_url(url):
                self._needs("config", "os")
                self._is_variable = True
            case ast.Call(func=ast.Name("fileConfig"), args=arguments):
                keywords = [keyword.value for keyword in call.keywords]
                if not all(map(is_plain, [*arguments, *keywords])):
                    raise UnsureError("a configuration of the log")
            case ast.Call(
                func=ast.Attribute(
                    ast.Attribute(ast.Name("sys"), "path"), "append" | "insert"
                ),
                args=arguments,
            ) if all(map(is_harmless, arguments)):
                pass
            case _:
                raise UnsureError("an unknown call")

    def _borrow(self, call: ast.Call) -> None:
        self._needs("run_migrations")
        self._borrows = True
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        names = {keyword.arg for keyword in call.keywords}
        if not names <= HARMLESS or not all(map(is_plain, values)):
            raise UnsureError("unknown options")

    def _needs(self, *names: str) -> None:
        if not self._bound.issuperset(names):
            raise UnsureError("a name that is not there yet")

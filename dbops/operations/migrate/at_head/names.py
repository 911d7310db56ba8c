"""What do the names in an env.py mean, and what may be called there?"""

import ast
from collections.abc import Iterator

from dbops.operations.migrate.at_head.shapes import FUNCTIONS, is_plain
from dbops.operations.migrate.at_head.unsure import UnsureError

MEANINGS = {
    "context": ("alembic.context",),
    "pool": ("sqlalchemy.pool",),
    "engine_from_config": (
        "sqlalchemy.engine_from_config",
        "sqlalchemy.engine.engine_from_config",
    ),
    "async_engine_from_config": ("sqlalchemy.ext.asyncio.async_engine_from_config",),
    "AsyncEngine": ("sqlalchemy.ext.asyncio.AsyncEngine",),
    "fileConfig": ("logging.config.fileConfig",),
    "asyncio": ("asyncio",),
    "os": ("os", "os.path"),
    "sys": ("sys",),
    "logging": ("logging", "logging.config"),
    "Path": ("pathlib.Path",),
    "run_migrations": ("dbops.integrations.alembic.run_migrations",),
    "str": ("",),
    "config": (),
    **dict.fromkeys(FUNCTIONS, ()),
}
"""Name → what it may be imported as; nothing where env.py itself has to bind it."""

_DATABASE_URL = tuple(
    ast.dump(ast.parse(text, mode="eval").body)
    for text in (
        "os.environ['DATABASE_URL']",
        "os.environ.get('DATABASE_URL')",
        "os.getenv('DATABASE_URL')",
    )
)
# Functions that may be called: they change nothing.
_PLAIN = ("str", "Path", "logging.getLogger")
_PLAIN_METHODS = ("os.path.", "Path(")


def imported(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield each name that a statement binds, and what it means.

    Raises:
        UnsureError: If it binds names that it does not name.
    """
    for alias in statement.names:
        if alias.name == "*":
            raise UnsureError("any name")
        if isinstance(statement, ast.ImportFrom):
            module = "." * statement.level + (statement.module or "")
            yield alias.asname or alias.name, f"{module}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            yield alias.name.partition(".")[0], alias.name


def is_harmless(expression: ast.expr) -> bool:
    """Tell whether an expression calls nothing but what makes paths and loggers."""
    calls = [node for node in ast.walk(expression) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    if not all(name in _PLAIN or name.startswith(_PLAIN_METHODS) for name in names):
        return False
    others = (ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)
    return not any(isinstance(node, others) for node in ast.walk(expression))


def is_database_url(expression: ast.expr) -> bool:
    """Tell whether an expression is the variable DATABASE_URL, where that is set."""
    match expression:
        case ast.Call(func=called, args=[name, default], keywords=[]) if is_plain(
            default
        ):
            expression = ast.Call(func=called, args=[name], keywords=[])
        case _:
            pass
    return ast.dump(expression) in _DATABASE_URL

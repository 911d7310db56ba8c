"""How Alembic's own templates run the revisions, then and now.

What `dbops` knows to lead to `sqlalchemy.url` and to the table `alembic_version`: the
templates generic, async, pyproject and pyproject_async, without what makes no
difference to that.
https://github.com/sqlalchemy/alembic/tree/main/alembic/templates
"""

import ast

from typing_extensions import override

SYNCHRONOUS = """
def run_migrations_online():
    connectable = engine_from_config(
        config.get_section(config.config_ini_section),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    with connectable.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

run_migrations_online()
"""
_ON_THE_CONNECTION = """
def do_run_migrations(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_CONNECTS = """
    connectable = {engine}
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()
"""
_ENGINE = """{made}_from_config(
        config.get_section(config.config_ini_section),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )"""
_ENGINES = (
    _ENGINE.format(made="async_engine"),
    f"AsyncEngine({_ENGINE.format(made='engine')})",
)
_STARTS = """
def run_migrations_online():
    asyncio.run(run_async_migrations())

run_migrations_online()
"""
ASYNCHRONOUS = tuple(
    _ON_THE_CONNECTION + way + _CONNECTS.format(engine=engine) + start
    for engine in _ENGINES
    for way, start in (
        ("async def run_async_migrations():", _STARTS),
        ("async def run_migrations_online():", "asyncio.run(run_migrations_online())"),
    )
)

HARMLESS = frozenset(
    {
        "target_metadata", "compare_type", "compare_server_default", "include_object",
        "include_name", "include_schemas", "render_as_batch", "render_item",
        "transaction_per_migration", "transactional_ddl", "user_module_prefix",
        "alembic_module_prefix", "sqlalchemy_module_prefix", "version_table_pk",
        "process_revision_directives",
    }
)  # fmt: skip
"""Options of `context.configure` that change neither the database nor its table."""

FUNCTIONS = frozenset(
    {"run_migrations_online", "run_async_migrations", "do_run_migrations"}
)


def is_known(ways: dict[str, ast.stmt], start: ast.stmt) -> bool:
    """Tell whether the functions, and what starts them, are those of a template.

    Args:
        ways: The functions by name.
        start: The statement that runs the revisions.
    """
    found = _dumped([*ways.values(), start])
    return any(
        found == _dumped(ast.parse(text).body) for text in (SYNCHRONOUS, *ASYNCHRONOUS)
    )


def is_plain(expression: ast.expr) -> bool:
    """Tell whether an expression calls nothing and binds nothing."""
    calls = (ast.Call, ast.Await, ast.NamedExpr, ast.Yield, ast.YieldFrom)
    return not any(isinstance(node, calls) for node in ast.walk(expression))


def _dumped(statements: list[ast.stmt]) -> list[str]:
    return sorted(ast.dump(_Essential().visit(each)) for each in statements)


class _Essential(ast.NodeTransformer):
    """Leaves out what makes no difference, in place."""

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:  # ast's
        return self._function(node)

    @override
    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    @override
    def visit_Call(self, node: ast.Call) -> ast.AST:  # ast's
        match node:
            case ast.Call(func=ast.Attribute(ast.Name("context"), "configure")):
                node.keywords = [it for it in node.keywords if not _is_harmless(it)]
            case ast.Call(
                func=ast.Name("engine_from_config" | "async_engine_from_config")
            ):
                node.keywords = [it for it in node.keywords if not _is_future(it)]
            case ast.Call(
                func=ast.Attribute(attr="get_section"), args=[_, ast.Dict(keys=[])]
            ):
                node.args.pop()
            case _:
                pass
        return self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if ast.get_docstring(node) is not None and len(node.body) > 1:
            del node.body[0]
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        return self.generic_visit(node)


def _is_harmless(keyword: ast.keyword) -> bool:
    return keyword.arg in HARMLESS and is_plain(keyword.value)


def _is_future(keyword: ast.keyword) -> bool:
    match keyword:
        case ast.keyword(arg="future", value=ast.Constant(value=True)):
            return True
        case _:
            return False

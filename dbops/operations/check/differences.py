"""Where do the models and the database differ?

Tables, columns, indexes and constraints are compared, by Alembic's own comparison and
as env.py configures it: server defaults only with `compare_server_default`, CHECK
constraints only with the plugin `alembic.ext.checkconstraint_byname`. Views, functions,
triggers and grants are not compared.
https://alembic.sqlalchemy.org/en/latest/autogenerate.html
"""

import warnings

from alembic.autogenerate import produce_migrations
from alembic.operations import ops
from alembic.operations.ops import MigrateOperation
from alembic.runtime.migration import MigrationContext

from dbops.engine.connect import Connectors
from dbops.operations.check.sentences import words
from dbops.operations.migrate.comparable import metadata_of, narrow
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.project import Project
from dbops.results import Model


class Difference(Model):
    """One thing that is not the same in models and database."""

    kind: str
    """What Alembic calls it: `add_table`, `modify_type`, `remove_index` …; added is
    what the models have and the database has not."""
    object: str
    """What differs, with its schema and table."""
    message: str
    """One sentence."""
    key: str
    """What a baseline knows it by; the same from run to run."""
    accepted: bool = False
    """Whether the baseline accepts it."""


async def differences(
    connectors: Connectors, project: Project
) -> tuple[Difference, ...] | None:
    """Compare the database with the project's models, whatever its version is.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose models: the `target_metadata` of its env.py.

    Returns:
        What differs; None when env.py names no models, and nothing is known.

    Raises:
        DbopsError: As `look`.
    """
    found: list[tuple[Difference, ...] | None] = []
    await look(
        connectors,
        project,
        lambda current, context: found.append(compared(current, context)),
    )
    return together(found)


def compared(
    current: tuple[str, ...], context: MigrationContext
) -> tuple[Difference, ...] | None:
    """Compare the database of a context with its models; None when it has none."""
    if not metadata_of(context):
        return None
    narrow(context)
    with warnings.catch_warnings():
        # SQLAlchemy's own words, where it reflects a CHECK that is NOT VALID.
        warnings.filterwarnings("ignore", "Can't validate argument 'dialect_options'")
        script = produce_migrations(context, context.opts["target_metadata"])
    directives = [script]
    # env.py may leave out what it does not want to see, as in `alembic check`.
    hook = context.opts.get("process_revision_directives")
    if hook is not None:
        hook(context, current, directives)
    assert context.connection is not None  # it was compared  # noqa: S101
    dialect = context.connection.dialect
    said = (
        word
        for directive in directives
        for upgrade in directive.upgrade_ops_list
        for operation in _flat(upgrade)
        for word in words(operation, dialect, str(dialect.default_schema_name))
    )
    return tuple(
        Difference(
            kind=word.kind,
            object=word.object,
            message=word.message,
            key=" ".join(
                part for part in (word.kind, word.object, word.detail) if part
            ),
        )
        for word in said
    )


def together(
    found: list[tuple[Difference, ...] | None],
) -> tuple[Difference, ...] | None:
    """Join the answers for the databases of env.py: one unknown, all unknown."""
    if not found or None in found:
        return None
    return tuple(difference for each in found for difference in each or ())


def _flat(container: ops.OpContainer) -> list[MigrateOperation]:
    """List the operations; a table that is whole missing speaks for its indexes."""
    whole = {
        (op.schema, op.table_name)
        for op in container.ops
        if isinstance(op, ops.CreateTableOp | ops.DropTableOp)
    }
    flat: list[MigrateOperation] = []
    for op in container.ops:
        if not isinstance(op, ops.OpContainer):
            flat.append(op)
        elif (
            not isinstance(op, ops.ModifyTableOps)
            or (op.schema, op.table_name) not in whole
        ):
            flat += _flat(op)
    return flat

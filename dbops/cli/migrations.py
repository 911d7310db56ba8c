"""The commands on a schema's life: options in, one operation named.

Each imports its operation when it is called, as in `commands`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbops.cli.options import ALEMBIC, DDL, LOCAL
from dbops.cli.register import command

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.results import Result


@command(*ALEMBIC, *DDL, waits_for="database")
async def migrate(
    call: "Call",
    revision: Annotated[
        str, typer.Argument(help="Where to; head by default.")
    ] = "head",
) -> "Result":
    """Apply the pending Alembic revisions, one transaction each, and check them.

    Example: dbops migrate --wait 60s
    """
    from dbops.operations.migrate import upgrade  # noqa: PLC0415

    limit_s = call.settings.lock_timeout
    return await upgrade.migrate(
        call.connectors,
        call.project,
        revision,
        lock_limit_s=upgrade.DEFAULT_LOCK_LIMIT_S if limit_s is None else limit_s,
    )


@command(*ALEMBIC, waits_for="database")
async def status(call: "Call") -> "Result":
    """Compare the database's version with the project's revisions.

    Example: dbops status --format json
    """
    from dbops.operations.migrate.status import migration_status  # noqa: PLC0415

    return await migration_status(call.connectors, call.project)


@command("force", common=LOCAL, uses_local_pair=False)
async def init(
    call: "Call",
    folder: Annotated[Path, typer.Argument(help="The project's folder.")] = Path(),
) -> "Result":
    """Give a project its alembic.ini and its migrations folder.

    Example: dbops init
    """
    from dbops.operations.init import init as operate  # noqa: PLC0415

    return await operate(folder, force=call.settings.force)

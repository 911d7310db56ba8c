"""The commands on a schema's life: options in, one operation named.

Each imports its operation when it is called, as in `commands`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbops.cli.options import ALEMBIC, DDL, LOCAL
from dbops.cli.register import command
from dbops.errors import UsageError

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
    found = await _nothing_to_migrate(call, revision)
    if found is not None:
        return found
    from dbops.operations.migrate import upgrade  # noqa: PLC0415
    from dbops.operations.migrate.apply import Options  # noqa: PLC0415

    options = Options(on_progress=call.say)
    return await upgrade.migrate(call.connectors, call.project, revision, options)


@command(*ALEMBIC, waits_for="database")
async def status(call: "Call") -> "Result":
    """Compare the database's version with the project's revisions.

    Example: dbops status --format json
    """
    from dbops.operations.migrate.status import migration_status  # noqa: PLC0415

    return await migration_status(call.connectors, call.project)


@command(*ALEMBIC, "baseline", waits_for="database")
async def check(
    call: "Call",
    *,
    heads: Annotated[
        bool, typer.Option("--heads", help="Only the revisions: needs no database.")
    ] = False,
    no_drift: Annotated[
        bool, typer.Option("--no-drift", help="Do not compare models and database.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Write what differs into the baseline.")
    ] = False,
) -> "Result":
    """Fail unless there is one head, the database is there, like the models and sound.

    Views and functions are not compared. Of several problems the exit code tells 6
    before 1 before 3.

    Example: dbops check --baseline drift.json
    """
    from dbops.operations.check import check as room  # noqa: PLC0415

    if heads:
        if accept or no_drift:
            raise UsageError("--heads asks no database: it takes no other check")
        return room.check_heads(call.project)
    return await room.check(
        call.connectors,
        call.project,
        drift=not no_drift,
        baseline=call.settings.baseline,
        accept=accept,
    )


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


async def _nothing_to_migrate(call: "Call", revision: str) -> "Result | None":
    """Answer at once where nothing is pending and nothing else is asked for."""
    settings = call.settings
    if settings.dry_run or settings.sql or settings.rehearse or settings.wait_replica:
        return None
    from dbops.operations.migrate.at_head import at_head  # noqa: PLC0415

    return await at_head(
        call.connectors,
        settings.alembic_config,
        section=settings.alembic_section,
        x_arguments=settings.alembic_x,
        revision=revision,
    )

"""The commands on a schema's life: options in, one operation named.

Each imports its operation when it is called, as in `commands`.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbops.cli.confirm import confirmed_by_person
from dbops.cli.options import ALEMBIC, DDL, FLEET, LOCAL
from dbops.cli.quick import nothing_to_migrate
from dbops.cli.register import command
from dbops.cli.sql import write_sql
from dbops.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.operations.lint.finding import Source
    from dbops.operations.migrate.apply import Options
    from dbops.operations.migrate.project import Project
    from dbops.operations.migrate.rollback import WayBack
    from dbops.results import Result


@command(
    *ALEMBIC,
    *DDL,
    *FLEET,
    "journal",
    "wait_replica",
    "dry_run",
    "sql",
    "rehearse",
    waits_for="database",
    quick=nothing_to_migrate,
)
async def migrate(
    call: "Call",
    revision: Annotated[
        str, typer.Argument(help="Where to; head by default. FROM:TO with --sql.")
    ] = "head",
) -> "Result | int":
    """Apply the pending Alembic revisions, one transaction each, and check them.

    Example: dbops migrate --wait 60s
    """
    settings = call.settings
    if settings.sql + settings.dry_run + settings.rehearse > 1:
        raise UsageError("one of --sql, --dry-run and --rehearse at a time")
    if settings.sql:
        return await write_sql(call, revision)
    if ":" in revision:
        raise UsageError(
            "a range FROM:TO is for --sql", hint="say where to: a revision, or heads"
        )
    if settings.dry_run:
        from dbops.operations.migrate.plan import plan  # noqa: PLC0415

        return await plan(call.connectors, call.project, revision)
    if settings.rehearse:
        from dbops.operations.rehearse.rehearse import rehearse  # noqa: PLC0415

        return await rehearse(
            call.connectors, call.project, revision, on_progress=call.say
        )
    found = await nothing_to_migrate(call, revision)
    if found is not None:
        return found
    from dbops.operations.migrate import upgrade  # noqa: PLC0415

    options = _options(call)
    return await upgrade.migrate(call.connectors, call.project, revision, options)


@command(*ALEMBIC, *DDL, *FLEET, "yes", "dry_run", "journal", waits_for="database")
async def rollback(
    call: "Call",
    back: Annotated[
        str | None,
        typer.Argument(
            metavar="[N|REV]", help="How many, or where to; one by default."
        ),
    ] = None,
    *,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many, for certain.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="REV", help="Where to, for certain.")
    ] = None,
) -> "Result":
    """Take revisions back, after showing which; never on a protected target.

    Example: dbops rollback 2 --dry-run
    """
    from dbops.operations.migrate import rollback as room  # noqa: PLC0415

    options = _options(call)
    plan = await room.planned_rollback(
        call.connectors,
        call.project,
        _way_back(back, steps, to),
    )
    if call.settings.dry_run:
        return plan
    for step in plan.planned:
        call.say(f"to be taken back: {step.revision} ({step.message})")
    confirmed = call.settings.yes or (
        bool(plan.planned) and confirmed_by_person("Take them back?")
    )
    return await room.rollback(
        call.connectors, call.project, plan, confirmed=confirmed, options=options
    )


@command(*ALEMBIC, *DDL, *FLEET, "force", "journal", waits_for="database")
async def stamp(
    call: "Call",
    revision: Annotated[str, typer.Argument(help="Which; head by default.")] = "head",
) -> "Result":
    """Declare the database to be at a revision, once it is like the models.

    Example: dbops stamp head
    """
    from dbops.operations.stamp import stamp as operate  # noqa: PLC0415

    return await operate(
        call.connectors,
        call.project,
        revision,
        force=call.settings.force,
        options=_options(call),
    )


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


@command(*ALEMBIC, "fail_on", waits_for="database")
async def lint(
    call: "Call",
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FROM:TO | FILE.sql …]",
            help="What is pending by default; a file of SQL, - for standard input.",
        ),
    ] = None,
    *,
    file: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="SQL; repeatable.")
    ] = None,
    style: Annotated[
        bool, typer.Option("--style", help="Matters of taste too, as squawk has them.")
    ] = False,
) -> "Result":
    """Say what a migration would lock, rewrite, break or lose, and a safer way.

    Example: dbops lint --format github
    """
    from dbops.operations.lint.lint import lint as operate  # noqa: PLC0415

    settings = call.settings
    words = what or []
    files = [*(file or []), *(it for it in words if it == "-" or it.endswith(".sql"))]
    ranges = [it for it in words if it not in files]
    if len(ranges) > 1 or (files and ranges):
        raise UsageError("say one thing to lint: a range FROM:TO, or files of SQL")
    connectors = call.connectors if settings.has_writer else None
    if files:
        sources = [source for it in files for source in _sources(it)]
    else:
        from dbops.operations.lint.pending import revisions_to_lint  # noqa: PLC0415

        project = call.project
        sources = await revisions_to_lint(
            project,
            ranges[0] if ranges else None,
            connectors or (call.connectors if project.endpoint else None),
            on_notice=call.say,
        )
    if connectors is None:
        call.say("note: no database is configured: sizes are unknown")
    return await operate(
        sources,
        connectors,
        fail_on=settings.fail_on,
        style=style,
        is_past=bool(ranges),
        on_notice=call.say,
    )


@command(*ALEMBIC, waits_for="database")
async def revision(
    call: "Call",
    *,
    message: Annotated[str, typer.Option("--message", "-m", help="What it is to do.")],
    autogenerate: Annotated[
        bool, typer.Option("--autogenerate", help="Write what the models lack.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Also when nothing differs.")
    ] = False,
    head: Annotated[
        str | None, typer.Option(metavar="REV", help="The revision to follow.")
    ] = None,
    splice: Annotated[
        bool, typer.Option("--splice", help="Allow a head with a successor.")
    ] = False,
    branch_label: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name the branch that begins.")
    ] = None,
    rev_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Its identifier.")
    ] = None,
    version_path: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="One of several folders.")
    ] = None,
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="REV", help="Comes first; repeatable.")
    ] = None,
) -> "Result":
    """Write the next revision file; without --autogenerate an empty one.

    Example: dbops revision -m "add price" --autogenerate
    """
    from dbops.operations.migrate.revise.revise import revise  # noqa: PLC0415

    with _hooks_off_stdout():
        return await revise(
            call.connectors,
            call.project,
            message,
            autogenerate=autogenerate,
            allow_empty=allow_empty,
            head=head,
            splice=splice,
            branch_label=branch_label,
            rev_id=rev_id,
            version_path=version_path,
            depends_on=depends_on or (),
        )


@command(*ALEMBIC, waits_for="database")
async def history(
    call: "Call",
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the N newest steps.")
    ] = None,
) -> "Result":
    """Show what was done to the schema: who, when, how long, from where to where.

    Example: dbops history --last 10
    """
    from dbops.operations.migrate.journal.history import history as operate  # noqa: PLC0415

    return await operate(call.connectors, _project_if_any(call), limit=last)


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


def _sources(name: str) -> "list[Source]":
    from dbops.operations.lint.sources import of_file, of_text  # noqa: PLC0415

    if name != "-":
        return of_file(Path(name))
    try:
        return of_text(sys.stdin.buffer.read().decode("utf-8-sig"), None)
    except UnicodeDecodeError:
        raise UsageError("standard input is not UTF-8") from None


def _project_if_any(call: "Call") -> "Project | None":
    """Open the project; the journal can be asked without one, where none is named."""
    try:
        return call.project
    except ConfigError as error:
        if call.settings.alembic_config is not None or Path("alembic.ini").exists():
            raise
        call.say(f"note: only the journal is asked: {error.message}")
        return None


@contextmanager
def _hooks_off_stdout() -> Generator[None]:
    """Send to stderr what programs write that are started meanwhile.

    A formatter that Alembic runs on a new file reports on stdout, where the result is.
    """
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _options(call: "Call") -> "Options":
    from dbops.operations.migrate.apply import Options  # noqa: PLC0415

    return Options(
        on_progress=call.say,
        journal=call.settings.journal,
        wait_replica_s=call.settings.wait_replica,
    )


def _way_back(back: str | None, steps: int | None, to: str | None) -> "WayBack":
    from dbops.operations.migrate.rollback import WayBack  # noqa: PLC0415

    given = [it for it in (back, steps, to) if it is not None]
    if len(given) > 1:
        raise UsageError("say once how far back: N, REV, --steps N or --to REV")
    return WayBack(steps=steps, to=to, either=back)

"""What was done to the schema, by whom, when, and how long did it take?"""

from contextlib import suppress
from datetime import datetime
from typing import Literal

from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import Connection

from dbops.engine.connect import Connectors
from dbops.engine.ddl import ddl_connection
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.journal.record import STATE, Direction
from dbops.operations.migrate.journal.stored import steps
from dbops.operations.migrate.project import Project
from dbops.results import Model, Result, Status

HOW_TO_KEEP = (
    "keep one from now on with: dbops migrate --journal (or DBOPS_JOURNAL=true)"
)


class HistoryEntry(Model):
    """One step of the schema's life; null stands for what nobody took down."""

    started_at: datetime | None = None
    """When it began."""
    duration_ms: float | None = None
    """How long it took, in milliseconds."""
    direction: Direction | None = None
    """`upgrade`, `downgrade` or `stamp`."""
    revision: str
    """Which revision."""
    message: str
    """The first line of its docstring."""
    before: tuple[str, ...] | None = None
    """The database's revisions before; empty for none."""
    after: tuple[str, ...] | None = None
    """Its revisions then; empty for none."""
    actor: str | None = None
    """On whose behalf, or else the role that logged in."""
    application_name: str | None = None
    """The name of the session."""
    client_host: str | None = None
    """The name of the machine or pod that dbops ran on."""
    version_table: str | None = None
    """Whose revision it is, where several projects share the database."""


class History(Result):
    """The steps, newest first."""

    state: Literal["present", "absent"]
    """Whether the database has a journal."""
    hint: str | None = None
    """How to keep one; null where there is one."""
    entries: tuple[HistoryEntry, ...]
    """What the journal holds; and with nulls the revisions that the database has and
    the journal does not know, because they were applied without it."""


async def history(
    connectors: Connectors, project: Project | None = None, *, limit: int | None = None
) -> History:
    """Read the journal; add what the database has besides.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions to add; None asks the journal alone.
        limit: How many steps at most, the newest; None for all.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    if project is None:
        connector = connectors.connector("migration")
        async with ddl_connection(connector) as connection:
            kept = await connection.run_sync(_kept, limit)
        return _answer(kept, kept or [], limit)
    return await _with_the_rest(connectors, project, limit)


async def _with_the_rest(
    connectors: Connectors, project: Project, limit: int | None
) -> History:
    """Read journal and version over one connection, to where env.py leads."""
    kept: list[HistoryEntry] | None = None
    applied: list[tuple[str, str]] = []

    def question(revisions: tuple[str, ...], context: MigrationContext) -> None:
        nonlocal kept
        assert context.connection is not None  # not offline  # noqa: S101
        found = _kept(context.connection, None)
        kept = found if kept is None else [*kept, *(found or [])]
        applied.extend(_applied(project, revisions))

    await look(connectors, project, question)
    return _answer(kept, merged(kept or [], applied), limit)


def _answer(
    kept: list[HistoryEntry] | None, entries: list[HistoryEntry], limit: int | None
) -> History:
    return History(
        status=Status.WARN if kept is None else Status.OK,
        state="absent" if kept is None else "present",
        hint=HOW_TO_KEEP if kept is None else None,
        entries=tuple(entries[:limit]),
    )


def merged(
    kept: list[HistoryEntry], applied: list[tuple[str, str]]
) -> list[HistoryEntry]:
    """Put each revision that the journal does not know where it belongs.

    Args:
        kept: What the journal holds, newest first.
        applied: Revision and message of all that the database has, newest first.
    """
    entries = list(kept)
    # A step that took a revision back does not tell who has applied it since.
    known = {entry.revision for entry in kept if entry.revision in (entry.after or ())}
    for place, (revision, message) in enumerate(applied):
        if revision in known:
            continue
        # Before the newest step of the nearest ancestor that is known.
        older = next((r for r, _ in applied[place + 1 :] if r in known), None)
        index = next(
            (i for i, entry in enumerate(entries) if entry.revision == older),
            len(entries),
        )
        entries.insert(index, HistoryEntry(revision=revision, message=message))
    return entries


def _kept(connection: Connection, limit: int | None) -> list[HistoryEntry] | None:
    """Read the journal, newest first; None where there is none."""
    state = connection.execute(STATE).mappings().one()
    if not state["has_schema"]:
        return None
    found = []
    for step in steps(connection, limit):
        known = {k: v for k, v in step.items() if k in HistoryEntry.model_fields}
        # Another version's step may lack what this one needs.
        with suppress(ValidationError):
            found.append(HistoryEntry(**known))
    return found


def _applied(project: Project, current: tuple[str, ...]) -> list[tuple[str, str]]:
    """List what the database has, newest first; of a foreign version only itself."""
    try:
        found = project.script.iterate_revisions(current, "base") if current else ()
        return [(script.revision, script.doc) for script in found]
    except CommandError:
        return [(revision, "") for revision in current]

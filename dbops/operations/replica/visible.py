"""Does the reader show the version that the writer has?

For servers that tell no WAL position: there the rows themselves are compared.
"""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from dbops.engine.connect import Connector, Dialled
from dbops.engine.quoting import quoted_identifier
from dbops.errors import UnreachableError
from dbops.operations.replica.answer import Followed
from dbops.operations.replica.polling import LateError, polled


class Version(NamedTuple):
    """Where a project keeps its version, and what it says on the writer."""

    revisions: Collection[str]
    """The rows that the reader has to show: these and no others."""
    table: str = "alembic_version"
    """The version table's name."""
    schema: str | None = None
    """Its schema; None leaves it to the search_path of the reader's role."""


async def until_visible(
    reader: Connector, version: Version, *, limit_s: float
) -> Followed:
    """Wait until the reader shows exactly the writer's version.

    Args:
        reader: How to connect to one reader; a connection that is lost is made again.
        version: What it has to show.
        limit_s: How long, in seconds.

    Raises:
        UnreachableError: If it does not show it in time; it says what it shows.
        RefusedError: If the role may not read the version table.
        DbopsError: As `Connector.__call__`, where waiting cannot help.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    query = f"SELECT version_num FROM {_name(version)}"  # noqa: S608 # quoted
    shown: list[tuple[str, ...]] = []

    async def ask(dialled: Dialled) -> str | None:
        rows = await dialled.connection.fetch(query)
        shown.append(tuple(sorted(row["version_num"] for row in rows)))
        is_there = shown[-1] == tuple(sorted(version.revisions))
        return str(dialled.address) if is_there else None

    try:
        where = await polled(reader, ask, deadline=started + limit_s)
    except LateError as error:
        raise _gave_up(error, version, shown, limit_s) from error.failure
    return Followed(
        reader=where,
        waited_s=round(loop.time() - started, 3),
        attempts=len(shown),
        bytes_behind=None,
    )


def _name(version: Version) -> str:
    names = (version.schema, version.table)
    return ".".join(quoted_identifier(name) for name in names if name is not None)


def _gave_up(
    error: LateError, version: Version, shown: list[tuple[str, ...]], limit_s: float
) -> UnreachableError:
    failure = error.failure
    seen = (", ".join(shown[-1]) if shown else "") or "no version"
    last = failure.message if failure else f"it shows {seen}"
    wanted = ", ".join(sorted(version.revisions)) or "no version"
    return UnreachableError(
        f"the reader does not show {wanted} after {limit_s:g} s: {last}",
        hint=(failure.hint if failure else None) or "wait longer; see: dbops lag",
        phase="replica",
        sqlstate=failure.sqlstate if failure else None,
    )

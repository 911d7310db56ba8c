"""The checks: do the servers answer, is the reader fresh, is there room, is all well?

Each imports its operation when it is called, as the other commands do.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from dbops.cli.options import CHECK, COMMON
from dbops.cli.register import command

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.endpoint import Role
    from dbops.engine.connect import Connector
    from dbops.results import Result

_THRESHOLDS = ("warn", "fail")
_WITHOUT_JOBS = tuple(name for name in COMMON if name != "jobs")


@command(*CHECK, *_THRESHOLDS, "count", waits_for="database")
async def ping(
    call: "Call",
    *,
    writer: Annotated[bool, typer.Option("--writer", help="Ping the writer.")] = False,
    reader: Annotated[bool, typer.Option("--reader", help="Ping the reader.")] = False,
) -> "Result":
    """Connect to writer and reader at once; say how fast, and who they are.

    Example: dbops ping --reader --writer --timeout 2s
    """
    from dbops.operations.ping import ping as operate  # noqa: PLC0415

    return await operate(_pinged(call, writer=writer, reader=reader))


@command(
    *CHECK,
    *_THRESHOLDS,
    "pool_size",
    "max_overflow",
    "replicas",
    "surge",
    "workers",
    "job_processes",
    "pgbouncer",
    common=_WITHOUT_JOBS,
    waits_for="database",
)
async def pool(call: "Call") -> "Result":
    """Show the configured pools, what the server allows, who holds connections.

    Example: dbops pool --format json
    """
    from dbops.operations.pool import pool as operate  # noqa: PLC0415

    return await operate(call.connectors.connector("writer"), call.settings)


@command(*CHECK, *_THRESHOLDS, "require_replica", "probe", "each", waits_for="database")
async def lag(call: "Call") -> "Result":
    """Say whether the reader is fresh, and if not, why.

    Example: dbops lag --warn 5s --fail 30s
    """
    from dbops.operations.lag import lag as operate  # noqa: PLC0415
    from dbops.operations.lag import thresholds  # noqa: PLC0415

    settings = call.settings
    return await operate(
        call.connectors.connector("writer"),
        call.connectors.connector("reader"),
        limits=thresholds(settings.warn, settings.fail),
        require_replica=settings.require_replica,
    )


@command(
    *CHECK,
    "only",
    "skip",
    "ignore",
    "reason",
    "limit",
    "all_databases",
    waits_for="database",
)
async def doctor(call: "Call") -> "Result":
    """Ask every check's question; one verdict, and a remedy for each finding.

    Example: dbops doctor --skip D33 --limit D20=10m,1h
    """
    from dbops.operations.doctor import doctor as operate  # noqa: PLC0415
    from dbops.operations.doctor.catalogue import catalogue  # noqa: PLC0415
    from dbops.operations.doctor.choices import choices  # noqa: PLC0415

    settings = call.settings
    chosen = choices(
        catalogue(),
        only=settings.only,
        skip=settings.skip,
        ignore=settings.ignore,
        reasons=settings.reason,
        limits=settings.limit,
    )
    return await operate(call.connectors, chosen)


def _pinged(call: "Call", *, writer: bool, reader: bool) -> "dict[Role, Connector]":
    """Take what was asked for; both by default, where there is a reader."""
    roles: list[Role] = []
    if writer or not reader:
        roles.append("writer")
    if reader or (not writer and call.settings.has_reader):
        roles.append("reader")
    if not writer and not reader and not call.settings.has_reader:
        call.say("note: no reader is configured: only the writer is asked")
    return {role: call.connectors.connector(role) for role in roles}

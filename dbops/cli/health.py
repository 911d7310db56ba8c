"""The checks: do the servers answer, is the reader fresh, is there room, is all well?

Each imports its operation when it is called, as the other commands do.
"""

from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from dbops.cli.options import ALEMBIC, CHECK, COMMON
from dbops.cli.register import command

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.endpoint import Role
    from dbops.engine.connect import Connector
    from dbops.operations.doctor.choices import Choices
    from dbops.results import Result

_THRESHOLDS = ("warn", "fail")
_SAMPLES = 60
_SAY_EVERY = 10
_WITHOUT_JOBS = tuple(name for name in COMMON if name != "jobs")


@command(*CHECK, *_THRESHOLDS, "count", waits_for="database")
async def ping(
    call: "Call",
    *,
    writer: Annotated[bool, typer.Option("--writer", help="Ping the writer.")] = False,
    reader: Annotated[bool, typer.Option("--reader", help="Ping the reader.")] = False,
) -> "Result":
    """Connect to writer and reader at once; say how fast, and who they are.

    Example: dbops ping --count 20 --interval 100ms --warn 250ms --fail 1s
    """
    from dbops.operations.ping import ping as operate  # noqa: PLC0415
    from dbops.operations.ping import thresholds  # noqa: PLC0415

    settings = call.settings
    return await operate(
        _pinged(call, writer=writer, reader=reader),
        limits=thresholds(settings.warn, settings.fail),
        count=settings.count or 1,
        interval_s=settings.interval,
        limit_s=settings.timeout,
    )


@command(
    *CHECK,
    *_THRESHOLDS,
    "pool_size",
    "max_overflow",
    "pool_class",
    "replicas",
    "surge",
    "workers",
    "readers",
    "job_processes",
    "pgbouncer",
    common=_WITHOUT_JOBS,
    waits_for="database",
)
async def pool(call: "Call") -> "Result":
    """Say whether the fleet's pools fit, and who holds the servers' connections.

    Example: dbops pool --replicas 20 --surge 25% --workers 4
    """
    from dbops.operations.pool import pool as operate  # noqa: PLC0415
    from dbops.operations.pool import shows_password  # noqa: PLC0415

    settings, connectors = call.settings, call.connectors
    if shows_password(settings):
        call.say(
            "note: everybody on this machine can read a password on the command line; "
            "give it in DBOPS_PGBOUNCER or DB_PASSWORD"
        )
    reader = connectors.connector("reader") if settings.has_reader else None
    return await operate(connectors.connector("writer"), settings, reader=reader)


@command(*CHECK, *_THRESHOLDS, "require_replica", "probe", "each", waits_for="database")
async def lag(call: "Call") -> "Result":
    """Say whether the reader is fresh, and if not, why.

    Example: dbops lag --warn 5s --fail 30s --fail 64MB
    """
    began = monotonic()
    from dbops.operations.lag import lag as operate  # noqa: PLC0415
    from dbops.operations.lag import lag_of_each, thresholds  # noqa: PLC0415

    settings, connectors = call.settings, call.connectors
    left_s = settings.timeout and max(settings.timeout - (monotonic() - began), 0.0)
    limits = thresholds(settings.warn, settings.fail)
    # Where nothing says where the writer is, the reader alone is asked.
    is_alone = settings.has_reader and not settings.has_writer
    return await (lag_of_each if settings.each else operate)(
        None if is_alone else connectors.connector("writer"),
        connectors.connector("reader"),
        limits=limits,
        require_replica=settings.require_replica,
        probe=settings.probe,
        budget_s=left_s,
    )


@command(
    *CHECK,
    "only",
    "skip",
    "ignore",
    "reason",
    "limit",
    "all_databases",
    "require_replica",
    "replicas",
    "surge",
    "workers",
    "pgbouncer",
    *ALEMBIC,
    waits_for="database",
    runs_env=False,
)
async def doctor(call: "Call") -> "Result":
    """Ask every check's question; one verdict, and a remedy for each finding.

    Example: dbops doctor --skip D33 --limit D20=10m,1h
    """
    began = monotonic()
    from dbops.operations.doctor import doctor as operate  # noqa: PLC0415

    settings, chosen = call.settings, _choices(call)
    left_s = settings.timeout and max(settings.timeout - (monotonic() - began), 0.01)
    return await operate(
        call.connectors, chosen, all_databases=settings.all_databases, limit_s=left_s
    )


@command(
    *CHECK,
    *_THRESHOLDS,
    "output",
    "count",
    "only",
    "skip",
    "ignore",
    "reason",
    "limit",
    waits_for="database",
)
async def report(call: "Call") -> "Result":
    """Write the answers of all checks as one page, with a minute of lag as a chart.

    Example: dbops report -o report.html
    """
    from dbops.cli.page.written import may_be_written, named_for, written  # noqa: PLC0415
    from dbops.operations.report import report as operate  # noqa: PLC0415

    settings = call.settings
    file = named_for(settings.output, call.target, many=call.is_one_of_many)
    may_be_written(file)
    chosen = _choices(call)
    count = settings.count or _SAMPLES
    found = await operate(
        call.connectors,
        choices=chosen,
        count=count,
        on_sample=lambda n: _say_seldom(call, n, count),
    )
    return written(found, file, target=await _place(call))


@command(
    *_THRESHOLDS,
    "interval",
    "count",
    common=_WITHOUT_JOBS,
    is_single=True,
    waits_for="database",
)
async def watch(call: "Call") -> int:
    """Watch writer and reader: a live view, or a line for each sample in a pipe.

    q leaves it; --count and --timeout end it, with the last sample's exit code. With
    --format json, each line is a document of its own.

    Example: dbops watch --interval 500ms
    """
    began = monotonic()
    from dbops.cli.watch.show import show  # noqa: PLC0415

    return await show(call, _choices(call), began=began)


def _choices(call: "Call") -> "Choices":
    from dbops.operations.doctor.catalogue import catalogue  # noqa: PLC0415
    from dbops.operations.doctor.choices import choices  # noqa: PLC0415

    settings = call.settings
    return choices(
        catalogue(),
        only=settings.only,
        skip=settings.skip,
        ignore=settings.ignore,
        reasons=settings.reason,
        limits=settings.limit,
    )


def _say_seldom(call: "Call", taken: int, count: int) -> None:
    if taken % _SAY_EVERY == 0 or taken == count:
        call.say(f"sampling the lag: {taken} of {count}")


async def _place(call: "Call") -> str:
    """Name the database and where it is."""
    endpoint = await call.connectors.connector("writer").endpoint()
    where = ", ".join(str(address) for address in endpoint.addresses)
    return f"{endpoint.database} on {where}"


def _pinged(call: "Call", *, writer: bool, reader: bool) -> "dict[Role, Connector]":
    """Take what was asked for; by default both, as far as they are configured."""
    settings, are_named = call.settings, writer or reader
    roles: list[Role] = []
    if writer or (not are_named and (settings.has_writer or not settings.has_reader)):
        roles.append("writer")
    if reader or (not are_named and settings.has_reader):
        roles.append("reader")
    if not are_named and len(roles) == 1:
        other = "reader" if "writer" in roles else "writer"
        call.say(f"note: no {other} is configured: only the {roles[0]} is asked")
    return {role: call.connectors.connector(role) for role in roles}

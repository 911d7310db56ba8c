"""The commands that talk to a server: options in, one operation named.

Each imports its operation when it is called, so that no command pays for another's
imports: half of a probe's time would go there.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbops.cli.confirm import confirmed_by_person
from dbops.cli.options import ALEMBIC, DDL, LOCAL
from dbops.cli.register import command
from dbops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbops.cli.call import Call
    from dbops.errors import DbopsError
    from dbops.operations.replica import Version
    from dbops.results import Result

_CREATE = ("owner", "encoding", "locale", "template", "extensions", "maintenance_db")
DEFAULT_WAIT_S = 60.0
_SHARE_TO_TELL = 0.1
_LEAST_TO_TELL_S = 0.3

Name = Annotated[
    str | None,
    typer.Argument(help="Which database; the configured one by default."),
]
Tables = Annotated[
    str | None,
    typer.Argument(metavar="MODULE:METADATA", help="Where the tables are."),
]


@command(*_CREATE, *ALEMBIC, *DDL, "warn", "fail", "tables", waits_for="server")
async def setup(call: "Call") -> "Result":
    """Wait, create the database, migrate it, ping both servers, check the lag.

    Example: dbops setup --wait 60s
    """
    from dbops.operations.create_tables import load_metadata  # noqa: PLC0415
    from dbops.operations.setup import setup as operate  # noqa: PLC0415

    tables = call.settings.tables
    schema = load_metadata(_importable(tables)) if tables else call.project
    return await operate(call.connectors, await _database(call, None), schema)


@command(*_CREATE, waits_for="server")
async def create_db(call: "Call", name: Name = None) -> "Result":
    """Create the database unless it exists.

    Example: dbops create-db shop --owner shop --extension pg_trgm
    """
    from dbops.operations.create_db import create_db as operate  # noqa: PLC0415

    settings = call.settings
    return await operate(
        call.connectors,
        await _database(call, name),
        owner=settings.owner,
        encoding=settings.encoding,
        locale=settings.locale,
        template=settings.template,
        extensions=settings.extensions,
    )


@command("yes", "force", "maintenance_db", waits_for="server")
async def drop_db(call: "Call", name: Name = None) -> "Result":
    """Drop the database; never on a protected target.

    Example: dbops drop-db shop_test --yes
    """
    from dbops.operations.drop_db import drop_db as operate  # noqa: PLC0415

    database = await _database(call, name)
    settings = call.settings
    confirmed = settings.yes or confirmed_by_person(f"Drop the database {database!r}?")
    return await operate(
        call.connectors, database, confirmed=confirmed, force=settings.force
    )


@command(
    "dry_run",
    "lock_timeout",
    "ddl_lock_timeout",
    "statement_timeout",
    waits_for="database",
)
async def create_tables(call: "Call", tables: Tables = None) -> "Result":
    """Create the tables of a SQLAlchemy MetaData that are missing.

    Example: dbops create-tables myapp.models:Base
    """
    from dbops.operations import create_tables as room  # noqa: PLC0415

    where = tables or call.settings.tables
    if where is None:
        raise UsageError(
            "nothing says where the tables are",
            hint="dbops create-tables package.module:metadata, or set DBOPS_TABLES",
        )
    metadata = room.load_metadata(_importable(where))
    if call.settings.dry_run:
        return await room.planned_tables(call.connectors, metadata)
    return await room.create_tables(call.connectors, metadata)


@command("wait_for", *ALEMBIC, runs_env=False)
async def wait(call: "Call") -> "Result":
    """Wait until the server, the database, its schema or its reader can be used.

    Example: dbops wait --for migrations --timeout 120s
    """
    limit_s = _wait_limit_s(call)
    if call.settings.wait_for == "migrations":
        return await _wait_for_migrations(call, limit_s)
    if call.settings.wait_for == "replica":
        return await _wait_for_replica(call, limit_s)
    from dbops.operations.wait import wait as operate  # noqa: PLC0415

    return await operate(
        call.connectors.connector("writer"),
        call.settings.wait_for,
        limit_s=limit_s,
        on_failure=_waiting(call),
    )


@command()
async def config(
    call: "Call",
    *,
    only_set: Annotated[
        bool, typer.Option("--set", help="Leave the defaults out.")
    ] = False,
) -> "Result":
    """Show every setting, its value masked, and where it came from.

    Example: dbops config --set
    """
    from dbops.operations.config import configuration  # noqa: PLC0415

    return configuration(call.settings, only_set=only_set)


@command(common=LOCAL, uses_local_pair=False)
async def demo(call: "Call") -> "Result":
    """Start a writer and a standby, create, migrate, ping, pool, lag; stop them.

    Example: dbops demo
    """
    from dbops.cli.demo import tell  # noqa: PLC0415 # it imports everything

    return await tell(call)


async def _wait_for_migrations(call: "Call", limit_s: float) -> "Result":
    from dbops.operations.migrate.at_head import at_head  # noqa: PLC0415
    from dbops.operations.wait.migrations import wait_for_migrations  # noqa: PLC0415

    settings = call.settings

    async def is_surely_there() -> bool:
        found = await at_head(
            call.connectors,
            settings.alembic_config,
            section=settings.alembic_section,
            x_arguments=settings.alembic_x,
            revision="heads",
        )
        return found is not None

    return await wait_for_migrations(
        call.connectors,
        lambda: call.project,
        limit_s=limit_s,
        on_failure=_waiting(call),
        is_surely_there=is_surely_there,
    )


async def _wait_for_replica(call: "Call", limit_s: float) -> "Result":
    from dbops.operations.wait.replica import wait_for_replica  # noqa: PLC0415

    async def version() -> "Version":
        from dbops.operations.migrate.version import read_version  # noqa: PLC0415 # Alembic

        call.say("note: Aurora tells no position: the migrations' version is compared")
        return await read_version(call.connectors, call.project)

    return await wait_for_replica(
        call.connectors,
        limit_s=limit_s,
        on_progress=lambda n: call.say(f"waiting: the reader lacks {n} bytes of WAL"),
        version=version,
    )


def _waiting(call: "Call") -> "Callable[[DbopsError], None]":
    """Say what is waited for, and say it again only when that has changed."""
    said: list[str] = []

    def say(failure: "DbopsError") -> None:
        if said[-1:] != [failure.message]:
            said.append(failure.message)
            call.say(f"waiting: {failure.message}")

    return say


def _wait_limit_s(call: "Call") -> float:
    """Leave a little of --timeout, so that the last state is told and not cut off."""
    settings = call.settings
    if settings.timeout is not None:
        to_tell_s = max(settings.timeout * _SHARE_TO_TELL, _LEAST_TO_TELL_S)
        return settings.timeout - min(to_tell_s, settings.timeout / 2)
    return DEFAULT_WAIT_S if settings.wait is None else settings.wait


async def _database(call: "Call", name: str | None) -> str:
    """Take the name that was given, or the one that the writer is configured with."""
    if name is not None:
        return name
    endpoint = await call.connectors.connector("writer").endpoint()
    assert endpoint.database is not None  # a complete endpoint has one  # noqa: S101
    return endpoint.database


def _importable(where: str) -> str:
    """Let modules of the current folder be imported, as `python -m` does."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return where

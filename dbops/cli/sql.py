"""`dbops migrate --sql`: the script on stdout, and nothing else there."""

import io
import sys
from typing import TYPE_CHECKING

from dbops.errors import ConfigError, FailedError

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.operations.migrate.offline.script import MigrationSql
    from dbops.results import Result


async def write_sql(call: "Call", revisions: str) -> "Result | int":
    """Write the SQL of an upgrade to stdout; as JSON it is a result.

    Raises:
        FailedError: If the script is not whole; what could be rendered is written.
        DbopsError: As `migration_sql`.
    """
    found = await _rendered(call, revisions)
    if call.settings.format == "json":
        return found
    if not found.sql:
        call.say("note: nothing is pending: there is no SQL")
    stdout = sys.__stdout__
    assert stdout is not None  # a command has one  # noqa: S101
    if isinstance(stdout, io.TextIOWrapper):
        # As the revisions are, whatever the terminal speaks.
        stdout.reconfigure(encoding="utf-8")
    stdout.write(found.sql)
    stdout.flush()
    if found.problem is not None:
        raise FailedError(
            found.problem.message, hint=found.problem.hint, phase=found.problem.phase
        )
    return 0


async def _rendered(call: "Call", revisions: str) -> "MigrationSql":
    from dbops.operations.migrate.offline.script import migration_sql  # noqa: PLC0415 # not for --help

    project = call.project
    try:
        return await migration_sql(project, revisions, connectors=call.connectors)
    except ConfigError:
        if _names_a_database(call):
            raise
        found = await migration_sql(project, revisions)
        call.say("note: no database is configured: this is the whole history")
        return found


def _names_a_database(call: "Call") -> bool:
    settings = call.settings
    return any(
        (
            settings.database_url,
            settings.database_migration_url,
            settings.db_host,
            settings.db_secret_id,
        )
    )

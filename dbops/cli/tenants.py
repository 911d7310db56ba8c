"""The tenants of one target: which they are, and with which settings."""

import asyncio
from collections.abc import Sequence

from dbops.cli.attempt import wait_first
from dbops.cli.call import Call, Command
from dbops.cli.ended import Ended, failed
from dbops.cli.lanes import in_lanes
from dbops.cli.render import write_notice
from dbops.cli.target import Target
from dbops.credentials import SecretStore
from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, RefusedError, UnreachableError, UsageError
from dbops.operations.tenants import missing_schemas, tenants
from dbops.settings import Aws, Settings

_AT_ONCE = 8


async def tenants_of(
    command: Command, base: Settings, stores: dict[Aws, SecretStore]
) -> list[Target]:
    """Return the tenants that the query of `base` lists, in its order.

    Args:
        command: For whom; where it runs env.py, tenants without a schema are refused.
        base: Whose query, and where it is asked.
        stores: Filled with the secrets that are asked for on the way.

    Raises:
        UsageError: If the query is empty.
        DbopsError: As `tenants`, and if it takes longer than --timeout.
    """
    query = base.targets_sql or ""
    if not query.strip():
        # A shell variable that is not set must not migrate the wrong database.
        raise UsageError(
            "targets_sql is empty", hint="leave it out, or give it a query"
        )
    try:
        async with asyncio.timeout(base.timeout):
            call = _call(base, stores)
            await wait_first(call, "database")
            rows = await tenants(call.connectors.connector("writer"), query)
            found = [
                Target(
                    it.name,
                    base.for_tenant(
                        database=it.database, schema=it.schema, host=it.host
                    ),
                )
                for it in rows
            ]
            return await _checked(found, stores) if command.errand else found
    except TimeoutError:
        raise UnreachableError(
            f"the query of targets_sql was not done within {base.timeout or 0:g} s",
            hint="give it longer with --timeout",
            phase="timeout",
        ) from None


def _call(base: Settings, stores: dict[Aws, SecretStore]) -> Call:
    def say(text: str) -> None:
        if not base.quiet:
            write_notice(text)

    return Call(base, say, lambda _title, _result: False, stores)


async def _checked(
    targets: Sequence[Target], stores: dict[Aws, SecretStore]
) -> list[Target]:
    """Refuse schemas that are missing: env.py would write into the next best one."""
    places: dict[object, list[Target]] = {}
    for target in targets:
        if target.settings.tenant_schema is not None:
            places.setdefault(target.settings.tenant_place, []).append(target)
    refused: dict[str, Ended] = {}
    waiting = iter(places.values())

    async def lane() -> None:
        # One question for each database: most often there is one.
        for listed in waiting:
            refused.update(await _without_schema(listed, stores))

    await in_lanes(lane, min(_AT_ONCE, len(places)))
    return [it._replace(ended=refused.get(it.name)) for it in targets]


async def _without_schema(
    targets: Sequence[Target], stores: dict[Aws, SecretStore]
) -> dict[str, Ended]:
    names = {it.settings.tenant_schema or "": it.name for it in targets}
    connectors = Connectors(targets[0].settings, stores=stores)
    try:
        missing = await missing_schemas(connectors.connector("writer"), names)
    except DbopsError:
        return {}  # the operation will say what is wrong with the database
    return {
        names[schema]: failed(
            names[schema],
            RefusedError(
                f"the schema {schema!r} does not exist",
                hint="create it, or leave it out of the query of targets_sql",
                phase="targets",
            ),
        )
        for schema in missing
    }

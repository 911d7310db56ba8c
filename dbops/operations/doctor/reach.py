"""Which servers answer? One connection to each, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from dbops.engine.connect import Connector, Connectors
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError, UnreachableError
from dbops.operations.doctor.answer import Role
from dbops.operations.doctor.servers import Cluster, Server, met

# Of the overall time-out: who is silent here must leave time to ask the other one.
_SHARE_OF_CALL = 0.4
_SHARE_OF_ALL = 0.5
_SHARE_OF_INTERVAL = 0.2
# Of what a statement may take on our side.
_SHARE_OF_STATEMENT = 0.6
_LONGEST_STATEMENT_S = 5.0


@asynccontextmanager
async def reached(
    connectors: Connectors,
    *,
    database: str | None = None,
    limit_s: float | None = None,
) -> AsyncGenerator[Cluster]:
    """Connect to writer and reader at once, and ask each who it is.

    Args:
        connectors: How to reach them.
        database: Another database of theirs than the configured one.
        limit_s: How long all may take; connecting takes a share of it at most.

    Raises:
        ConfigError: If nothing says where a server is. One that gives no answer is
            among the failures.
    """
    settings = connectors.settings
    roles: list[Role] = ["reader"] if settings.has_reader else []
    if settings.has_writer or not roles:
        roles.insert(0, "writer")
    to = {role: connectors.connector(role, database=database) for role in roles}
    interval_s = settings.interval
    if limit_s is not None:
        interval_s = min(interval_s, limit_s * _SHARE_OF_INTERVAL)
    async with AsyncExitStack() as stack:
        tried = await asyncio.gather(
            *(_tried(stack, role, to[role], interval_s, limit_s) for role in roles)
        )
        by_role = dict(zip(roles, tried, strict=True))
        yield Cluster(
            settings=settings,
            writer=_answering(by_role.get("writer")),
            reader=_answering(by_role.get("reader")),
            failures={
                role: it for role, it in by_role.items() if isinstance(it, DbopsError)
            },
        )


async def _tried(
    stack: AsyncExitStack,
    role: Role,
    connector: Connector,
    interval_s: float,
    limit_s: float | None,
) -> Server | DbopsError:
    """Connect for the life of the stack."""
    if limit_s is not None:
        connector.options = replace(
            connector.options, max_timeout_s=limit_s * _SHARE_OF_CALL
        )
    try:
        async with asyncio.timeout(limit_s and limit_s * _SHARE_OF_ALL):
            dialled = await stack.enter_async_context(connector.dialled())
            questions = ReadOnly(dialled, statement_timeout_s=_statement_s(connector))
            server = await met(role, questions, interval_s=interval_s)
            await questions.settle()
            return server
    except DbopsError as error:
        return error
    except TimeoutError:
        return UnreachableError(
            f"the {role} gave no answer in time",
            hint="give it longer with --timeout",
            phase="connect",
        )


def _statement_s(connector: Connector) -> float:
    """Let the server give up before us: who is silent for longer is taken for dead."""
    limit_s = connector.options.command_limit_s()
    if limit_s is None:
        return _LONGEST_STATEMENT_S
    return min(limit_s * _SHARE_OF_STATEMENT, _LONGEST_STATEMENT_S)


def _answering(server: Server | DbopsError | None) -> Server | None:
    return None if isinstance(server, DbopsError) else server

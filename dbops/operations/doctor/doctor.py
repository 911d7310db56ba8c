"""Is the database healthy? Every check at once, over one connection to each server."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from dbops.engine.connect import Connector, Connectors
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Diagnosis, Doctor, Role
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.check import Check
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.diagnose import diagnose
from dbops.operations.doctor.servers import Cluster, Server, met
from dbops.results import Problem, Status, worst


async def doctor(connectors: Connectors, choices: Choices | None = None) -> Doctor:
    """Ask every check's question and return every answer.

    There is at most one connection to the writer and one to the reader; each question
    is a read-only transaction of its own with local time-outs.

    Args:
        connectors: How to reach writer and reader; without a reader, its checks do
            not apply.
        choices: What to run and what to accept; everything and nothing by default.

    Returns:
        A diagnosis for each check. A server that gives no answer is one of them, and
        makes what depends on it unknown.

    Raises:
        ConfigError: If nothing says where the writer is.
    """
    choices = choices or Choices()
    async with _cluster(connectors) as cluster:
        checks = await asyncio.gather(
            *(diagnose(check, cluster, choices) for check in catalogue())
        )
    return _whole(checks, cluster)


@asynccontextmanager
async def _cluster(connectors: Connectors) -> AsyncGenerator[Cluster]:
    """Connect to each server at once, and ask each who it is."""
    settings = connectors.settings
    roles: list[Role] = ["writer", "reader"] if settings.has_reader else ["writer"]
    to = {role: connectors.connector(role) for role in roles}
    async with AsyncExitStack() as stack:
        found = await asyncio.gather(
            *(_server(stack, role, to[role], settings.interval) for role in roles)
        )
        by_role = dict(zip(roles, found, strict=True))
        yield Cluster(
            settings=settings,
            writer=_answering(by_role.get("writer")),
            reader=_answering(by_role.get("reader")),
            failures={
                role: it for role, it in by_role.items() if isinstance(it, DbopsError)
            },
        )


async def _server(
    stack: AsyncExitStack, role: Role, connector: Connector, interval_s: float
) -> Server | DbopsError:
    try:
        dialled = await stack.enter_async_context(connector.dialled())
        return await met(role, ReadOnly(dialled), interval_s=interval_s)
    except DbopsError as error:
        return error


def _answering(server: Server | DbopsError | None) -> Server | None:
    return None if isinstance(server, DbopsError) else server


def _whole(checks: Sequence[Diagnosis], cluster: Cluster) -> Doctor:
    failure = next(iter(cluster.failures.values()), None)
    counted = Counter(
        str(it.status) if it.applies else "not_applicable" for it in checks
    )
    names = [*(str(status) for status in Status), "not_applicable"]
    return Doctor(
        status=worst(it.status for it in checks if it.applies),
        counts={name: counted[name] for name in names},
        checks=tuple(checks),
        error=None if failure is None else Problem.of(failure),
    )


def known_checks() -> tuple[Check, ...]:
    """Return every check there is, for who reads the user's choices."""
    return catalogue()

"""What does the doctor find, over the connections that are open already?"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Diagnosis, Finding, Severity
from dbops.operations.doctor.ask import ask
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.check import ClusterCheck, ServerCheck
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.diagnose import diagnose
from dbops.operations.doctor.servers import Cluster, Server, met
from dbops.operations.watch.answer import Checkup, SampledFinding
from dbops.operations.watch.server import Asked
from dbops.results import Status, worst
from dbops.settings import Settings

_EVERY_S = 30.0
_SOON_S = 1.0
# The view waits for its turn behind so many of the doctor's questions at most.
_AT_ONCE = 2
_MOST = 20
_WORST_FIRST = (Severity.FAIL, Severity.UNKNOWN, Severity.WARN)


class Rounds:
    """The doctor's visits, one after another.

    Args:
        settings: What the user said.
        servers: Who is asked; only those that answer are.
        choices: What to ask them, and what to accept.
    """

    def __init__(
        self, settings: Settings, servers: Sequence[Asked], choices: Choices
    ) -> None:
        self.last: Checkup | None = None
        """What the last visit found; None before it has ended."""
        self._settings = settings
        self._servers = servers
        self._choices = choices

    async def run(self) -> None:
        """Visit again and again."""
        while True:
            found = await self._visit()
            if found is not None:
                self.last = found
            await asyncio.sleep(_SOON_S if found is None else _EVERY_S)

    async def _visit(self) -> Checkup | None:
        """Ask every check; None where nobody answers or a server was lost."""
        lines = {it.role: it.link.line for it in self._servers}
        if not any(lines.values()):
            return None
        try:
            cluster = await self._cluster()
        except DbopsError:
            return None
        gate = asyncio.Semaphore(_AT_ONCE)
        database = next((it.database for it in cluster.servers), "")

        async def one(check: ServerCheck | ClusterCheck) -> Diagnosis:
            async with gate:
                asked = await ask(check, cluster, self._choices)
            return diagnose(check, {database: asked}, self._choices)

        checks = await asyncio.gather(*(one(check) for check in catalogue()))
        if any(it.link.line is not lines[it.role] for it in self._servers):
            return None
        return summarized(checks)

    async def _cluster(self) -> Cluster:
        met_ones: dict[str, Server] = {}
        for asked in self._servers:
            line = asked.link.line
            if line is not None and asked.link.error is None:
                met_ones[asked.role] = await met(
                    asked.role, line, interval_s=self._settings.interval
                )
        return Cluster(
            settings=self._settings,
            writer=met_ones.get("writer"),
            reader=met_ones.get("reader"),
            failures={
                it.role: it.link.error
                for it in self._servers
                if it.link.error is not None
            },
        )


def summarized(checks: Sequence[Diagnosis]) -> Checkup:
    """Keep what is worth a line."""
    applying = [it for it in checks if it.applies]
    counted = Counter(str(it.status) for it in applying)
    counts = {str(status): counted[str(status)] for status in Status}
    return Checkup(
        asked_at=datetime.now(UTC),
        status=worst(it.status for it in applying),
        counts={**counts, "not_applicable": len(checks) - len(applying)},
        findings=tuple(_grouped(applying))[:_MOST],
    )


def _grouped(checks: Iterable[Diagnosis]) -> list[SampledFinding]:
    """Say once what several checks say, such as that a role may not look."""
    said: dict[tuple[object, ...], list[tuple[str, Finding]]] = {}
    for check in checks:
        for it in check.findings:
            if it.severity in _WORST_FIRST:
                key = (it.severity, it.message, it.remedy)
                said.setdefault(key, []).append((check.id, it))
    grouped = [
        SampledFinding(
            ids=tuple(dict.fromkeys(check_id for check_id, _ in them)),
            severity=them[0][1].severity,
            object=", ".join(dict.fromkeys(it.object for _, it in them)),
            message=them[0][1].message,
            remedy=them[0][1].remedy,
        )
        for them in said.values()
    ]
    return sorted(grouped, key=lambda it: _WORST_FIRST.index(it.severity))

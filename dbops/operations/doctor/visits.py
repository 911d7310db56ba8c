"""Which check was asked in which database, and what was heard?"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError, UnreachableError
from dbops.operations.doctor.ask import Asked, ask
from dbops.operations.doctor.check import Check, ClusterCheck, ServerCheck
from dbops.operations.doctor.choices import Choices
from dbops.operations.doctor.databases import Database, other_databases
from dbops.operations.doctor.reach import reached
from dbops.operations.doctor.servers import Cluster
from dbops.operations.doctor.tried import undecided

# Of the overall time-out: the rest is for closing connections and for the answer.
_SHARE_OF_TIME = 0.75
_LONGER = "give it longer with --timeout"


class Visits:
    """Asks checks in one database after another, and keeps what they saw.

    Args:
        connectors: How to reach the servers.
        checks: All that there are.
        choices: Which of them to run.
        limit_s: How long all of it may take; None for as long as it takes.
    """

    def __init__(
        self,
        connectors: Connectors,
        checks: Sequence[ServerCheck | ClusterCheck],
        choices: Choices,
        *,
        limit_s: float | None,
    ) -> None:
        self.failure: DbopsError | None = None
        """The first reason for which a server gave no answer."""
        self._connectors = connectors
        self._checks = checks
        self._choices = choices
        self._seen: dict[str, dict[str, Asked]] = {check.id: {} for check in checks}
        self._user = ""
        now = asyncio.get_running_loop().time()
        self._deadline = None if limit_s is None else now + limit_s * _SHARE_OF_TIME

    def seen(self) -> Iterator[tuple[Check, Mapping[str, Asked]]]:
        """Yield each check and what it saw by database, the configured one first."""
        for check in self._checks:
            yield check, self._seen[check.id]

    async def first(self, cluster: Cluster) -> None:
        """Ask everything at once where the settings lead."""
        await self._ask(self._checks, cluster, "")

    async def others(self, cluster: Cluster) -> tuple[Database, ...]:
        """Return the other databases; where nobody tells, that is what was seen."""
        self._user = next((it.user for it in cluster.servers), "")
        try:
            async with asyncio.timeout_at(self._deadline):
                return await other_databases(cluster)
        except DbopsError as error:
            self._note_unseen("the other databases", error.message, error.hint)
        except TimeoutError:
            self._note_unseen("the other databases", "there was no time", _LONGER)
        return ()

    async def next(self, database: Database) -> None:
        """Ask in another database what is not the same in all of them."""
        if not database.may_connect:
            grant = f"GRANT CONNECT ON DATABASE {database.quoted} TO {self._user}"
            self._note_unseen(database.name, f"{self._user} may not connect", grant)
            return
        left_s = self._left_s()
        if left_s is not None and left_s <= 0:
            self._note_unseen(database.name, "there was no time to look", _LONGER)
            return
        async with reached(
            self._connectors, database=database.name, limit_s=left_s
        ) as cluster:
            await self._ask(self._of_databases(), cluster, database.name)

    async def _ask(
        self,
        checks: Sequence[ServerCheck | ClusterCheck],
        cluster: Cluster,
        database: str,
    ) -> None:
        heard = await asyncio.gather(
            *(
                ask(check, cluster, self._choices, deadline=self._deadline)
                for check in checks
            )
        )
        name = next((it.database for it in cluster.servers), database)
        for check, asked in zip(checks, heard, strict=True):
            self._seen[check.id][name] = asked
        self._note_failures(cluster)

    def _of_databases(self) -> list[ServerCheck | ClusterCheck]:
        return [it for it in self._checks if it.scope == "database"]

    def _left_s(self) -> float | None:
        if self._deadline is None:
            return None
        return self._deadline - asyncio.get_running_loop().time()

    def _note_unseen(self, name: str, why: str, requires: str | None) -> None:
        """Make a database that was not looked into an unknown of each check."""
        for check in self._of_databases():
            if self._choices.runs(check):
                found = undecided(name, why, requires, database=name)
                self._seen[check.id][name] = Asked(found)

    def _note_failures(self, cluster: Cluster) -> None:
        """Remember who gave no answer, from the beginning or in the middle."""
        broken = (server.questions.failure for server in cluster.servers)
        left_s = self._left_s()
        late = None
        if left_s is not None and left_s <= 0:
            late = UnreachableError(
                "the doctor had no time for all of its questions",
                hint=_LONGER,
                phase="timeout",
            )
        failures = [*cluster.failures.values(), *broken, late]
        self.failure = self.failure or next(filter(None, failures), None)

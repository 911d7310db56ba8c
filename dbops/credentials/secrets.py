"""AWS Secrets Manager: each secret asked for once, whoever needs it."""

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from pydantic import SecretStr

from dbops.credentials.aws import DEADLINE_S, Clients, translated, unreachable
from dbops.credentials.shape import parse_secret
from dbops.credentials.unlogged import unlogged
from dbops.endpoint import Endpoint
from dbops.errors import ConfigError
from dbops.frames import without_frames
from dbops.settings import Aws

_AGAIN_S = 1.0
"""How long a secret that was fetched again stays good, refused or not.

A password that stays wrong would otherwise ask Secrets Manager once a connection.
"""


class _Version(NamedTuple):
    """One of the versions of a secret that AWS keeps."""

    secret_id: str
    stage: str = "AWSCURRENT"


@dataclass(frozen=True, slots=True)
class _Kept:
    """A secret, and when and why it was fetched."""

    says: Endpoint
    fetched_at_s: float
    is_renewal: bool

    def may_be_stale(self, refused: SecretStr | None) -> bool:
        """Tell whether fetching again can bring another password than `refused`."""
        if self.says.password not in (None, refused):
            return False  # somebody else has fetched it since
        return not self.is_renewal or monotonic() - self.fetched_at_s >= _AGAIN_S


@dataclass(frozen=True, slots=True)
class _Flight:
    """One question that is under way; everybody who wants the answer waits for it."""

    ends_at_s: float
    answer: Future[Endpoint] = field(default_factory=Future)


class SecretStore:
    """AWS Secrets Manager, each secret asked for once and kept.

    One store serves any number of tasks, threads and event loops.

    Args:
        aws: How to reach AWS.
        deadline_s: How long one answer may take in all, in seconds.
    """

    def __init__(self, aws: Aws, *, deadline_s: float = DEADLINE_S) -> None:
        self.clients = Clients(aws)
        self.deadline_s = deadline_s
        self.fetches = 0
        self._kept: dict[_Version, _Kept] = {}
        self._flights: dict[_Version, _Flight] = {}
        self._lock = threading.Lock()

    async def get(self, secret_id: str) -> Endpoint:
        """Return what the secret says.

        Raises:
            ConfigError: If it is missing, denied, or not in the RDS shape.
            UnreachableError: If Secrets Manager gives no answer in time.
        """
        version = _Version(secret_id)
        with self._lock:
            kept = self._kept.get(version)
            if kept is not None:
                return kept.says
            flight = self._joined(version)
        return await self._landed(version, flight)

    async def renewed(self, secret_id: str, refused: SecretStr | None) -> Endpoint:
        """Return what the secret says after a server refused a password.

        It is fetched again if that password is the one that is kept.

        Raises:
            ConfigError: As `get`.
            UnreachableError: As `get`; what was kept stays kept.
        """
        version = _Version(secret_id)
        with self._lock:
            kept = self._kept.get(version)
            if kept is not None and not kept.may_be_stale(refused):
                return kept.says
            flight = self._joined(version)
        return await self._landed(version, flight)

    async def previous(self, secret_id: str) -> Endpoint:
        """Return what the secret said before this; says nothing where it did not.

        Raises:
            ConfigError: As `get`.
            UnreachableError: As `get`.
        """
        version = _Version(secret_id, "AWSPREVIOUS")
        with self._lock:
            flight = self._joined(version)
        try:
            return await self._landed(version, flight)
        except ConfigError:
            return Endpoint()

    def _joined(self, version: _Version) -> _Flight:
        """Return the question that is under way, or ask it; the lock is held."""
        flight = self._flights.get(version)
        if flight is None:
            flight = _Flight(monotonic() + self.deadline_s)
            # A waiter that gives up must not cancel the others' answer.
            flight.answer.set_running_or_notify_cancel()
            threading.Thread(
                target=self._fly,
                args=(version, flight),
                name="dbops-secret",
                daemon=True,
            ).start()
            self._flights[version] = flight
            self.fetches += 1
        return flight

    async def _landed(self, version: _Version, flight: _Flight) -> Endpoint:
        try:
            async with asyncio.timeout(flight.ends_at_s - monotonic()):
                return await asyncio.wrap_future(flight.answer)
        except TimeoutError:
            with self._lock:
                self._forget(version, flight)
            what = f"the secret {version.secret_id}"
            raise unreachable(what, f"within {self.deadline_s:g} s") from None

    def _forget(self, version: _Version, flight: _Flight) -> bool:
        """Let the next one ask anew; tell whether `flight` was still waited for."""
        if self._flights.get(version) is not flight:
            return False
        del self._flights[version]
        return True

    def _fly(self, version: _Version, flight: _Flight) -> None:
        """Ask, in a thread of its own."""
        says, error = self._asked(version)
        with self._lock:
            if self._forget(version, flight) and says is not None:
                is_renewal = version in self._kept
                self._kept[version] = _Kept(says, monotonic(), is_renewal)
        if says is not None:
            flight.answer.set_result(says)
        else:
            flight.answer.set_exception(error)

    def _asked(self, version: _Version) -> tuple[Endpoint | None, BaseException | None]:
        try:
            with unlogged():
                client = self.clients.get("secretsmanager")
                answer = client.get_secret_value(
                    SecretId=version.secret_id, VersionStage=version.stage
                )
        except Exception as error:  # noqa: BLE001 # botocore raises many classes
            return None, translated(error, f"the secret {version.secret_id}")
        try:
            return parse_secret(version.secret_id, answer), None
        except Exception as error:  # noqa: BLE001 # handed to those who wait
            return None, without_frames(error)

"""One connection to one server, kept open, and made again when it is lost."""

from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any

from dbops.endpoint import Address
from dbops.engine.connect import Connector, close
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Role
from dbops.operations.watch.questions import ABOUT

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


class Link:
    """How to ask one server again and again, whatever happens to it.

    Args:
        role: As what it is configured.
        connector: How to connect to it.
    """

    def __init__(self, role: Role, connector: Connector) -> None:
        self.role: Role = role
        self.line: ReadOnly | None = None
        """The open connection; None while there is none."""
        self.address: Address | None = None
        """Which host answered last."""
        self.about: dict[str, Any] = {}
        """What ABOUT said."""
        self.error: DbopsError | None = None
        """Why it cannot be asked; None while it can."""
        self.since: datetime | None = None
        """Since when it cannot be asked."""
        self._connector = connector
        self._pause_s = _FIRST_PAUSE_S
        self._not_before = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether it is too soon after a failure to try again."""
        return self.error is not None and monotonic() < self._not_before

    async def opened(self) -> ReadOnly:
        """Return the connection, a new one where the last one was lost.

        Raises:
            DbopsError: Why there is none.
        """
        if self.line is not None and not self.line.dialled.connection.is_closed():
            return self.line
        await self._drop()
        dialled = await self._connector.dial()
        self.line = ReadOnly(dialled)
        self.address = dialled.address
        self.about = await self.line.row(ABOUT)
        return self.line

    def answered(self) -> None:
        """Note that it answers."""
        self._pause_s = _FIRST_PAUSE_S
        self.error = self.since = None

    async def lost(self, error: DbopsError, *, since: datetime) -> None:
        """Give the connection up, and connect again only after a pause.

        Args:
            error: Why.
            since: When it was asked in vain.
        """
        self.error, self.since = error, self.since or since
        self._not_before = monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        await self._drop()

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        await self._drop()

    async def _drop(self) -> None:
        line, self.line = self.line, None
        if line is not None:
            with suppress(DbopsError, OSError):
                await close(line.dialled.connection)

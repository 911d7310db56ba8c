"""One command on one target: within its time, and whatever happens."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from dbops.cli.call import Call, Command
from dbops.cli.ended import Ended, answered, bug, failed
from dbops.cli.render import write_human, write_notice
from dbops.credentials import SecretStore
from dbops.endpoint import Role
from dbops.errors import DbopsError, UnreachableError
from dbops.results import Result
from dbops.settings import Aws, Settings

if TYPE_CHECKING:
    from dbops.settings.model import WaitFor

_LEAST_TIMEOUT_S = 0.1


@dataclass(slots=True)
class Attempts:
    """Runs a command on one target after another, or on several at once."""

    command: Command
    shows_steps: bool
    """Whether a person reads along, so that steps are shown at once."""
    is_one_of_many: bool = False
    """Whether what is said has to name the target."""
    stores: dict[Aws, SecretStore] = field(default_factory=dict)
    """The secrets that were asked for, kept for the next target."""
    notice: Callable[[str], None] = write_notice
    """Says a line of progress."""

    async def on(self, target: str, settings: Settings) -> Ended:
        """Run the command's operation on one target."""
        started = monotonic()
        try:
            result = await self._bounded(target, settings, quick=False)
        except Exception as error:  # noqa: BLE001 # one target's bug must not hide the others
            return self._raised(target, error, monotonic() - started)
        assert result is not None  # only quick ones have no answer  # noqa: S101
        return answered(target, result, took_s=monotonic() - started)

    async def quickly_on(self, target: str, settings: Settings) -> Ended | None:
        """Try the command's quick way; None where it takes the long one."""
        started = monotonic()
        try:
            result = await self._bounded(target, settings, quick=True)
        except Exception as error:  # noqa: BLE001 # same
            return self._raised(target, error, monotonic() - started)
        if result is None:
            return None
        return answered(target, result, took_s=monotonic() - started)

    def _raised(self, target: str, error: Exception, took_s: float) -> Ended:
        if isinstance(error, DbopsError):
            return failed(target, error, took_s=took_s)
        return bug(target, error, verbose=bool(self.command.flags.get("verbose")))

    async def _bounded(
        self, target: str, settings: Settings, *, quick: bool
    ) -> Result | int | None:
        """Run the operation within the overall time-out, when there is one."""
        command = self.command
        settings = _with_time_left(settings, command)
        try:
            async with asyncio.timeout(settings.timeout):
                call = self._call(target, settings)
                await wait_first(call, command.waits_for)
                if quick and command.quick is not None:
                    return await command.quick(call)
                # Of many targets, all have been asked the quick way before.
                call.was_scanned = self.is_one_of_many
                return await command.operation(call)
        except TimeoutError:
            raise UnreachableError(
                f"{command.name} was not done within {settings.timeout or 0:g} s",
                hint="give it longer with --timeout",
                phase="timeout",
            ) from None

    def _call(self, target: str, settings: Settings) -> Call:
        prefix = f"{target}: " if self.is_one_of_many else ""

        def say(text: str) -> None:
            if not settings.quiet:
                self.notice(prefix + text)

        def show(title: str, result: Result) -> bool:
            if self.shows_steps:
                write_human(result, real_stdout(), title=title)
            return self.shows_steps

        return Call(settings, say, show, self.stores)


def _with_time_left(settings: Settings, command: Command) -> Settings:
    """Take what starting up has cost off the overall time-out.

    So that whoever connects gives up, and says which host was silent, before all of
    the time is over.
    """
    if settings.timeout is None:
        return settings
    least_s = min(settings.timeout, _LEAST_TIMEOUT_S)
    return settings.with_timeout(max(settings.timeout - command.startup_s, least_s))


async def wait_first(call: Call, what: "WaitFor | None") -> None:
    """Honour `--wait`: a server that is on its way is given time to arrive."""
    if what is None or call.settings.wait is None:
        return
    from dbops.operations.wait import wait  # noqa: PLC0415 # not on a probe's path

    role: Role = "admin" if what == "server" else "writer"
    await wait(
        call.connectors.connector(role),
        what,
        limit_s=call.settings.wait,
        on_failure=lambda failure: call.say(f"waiting: {failure.message}"),
    )


def real_stdout() -> Any:  # noqa: ANN401 # a text stream
    """Return stdout itself: while an operation runs, print() goes to stderr."""
    return sys.__stdout__

"""One command on one target: within its time, and whatever happens."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from dbops.cli.again import CUT_OFF, is_worth_repeating, was_cut_off, why_again
from dbops.cli.call import Call, Command
from dbops.cli.deadline import deadline_of, with_time_left
from dbops.cli.ended import Ended, answered, bug, failed
from dbops.cli.render import write_human, write_notice
from dbops.credentials import SecretStore
from dbops.endpoint import Role
from dbops.errors import DbopsError, UnreachableError
from dbops.results import Result
from dbops.settings import Aws, Settings

if TYPE_CHECKING:
    from dbops.settings.model import WaitFor


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
    deadline: float | None = None
    """When the time of all targets is over; None where each has its own."""

    async def on(self, target: str, settings: Settings) -> Ended:
        """Run the command's operation on one target, again where it may help."""
        started = monotonic()
        deadline = self.deadline or deadline_of(settings, self.command)
        ended = await self._once(target, settings, deadline)
        for number in range(settings.retries if self.command.is_check else 0):
            if not is_worth_repeating(ended):
                break
            if deadline is not None and monotonic() + settings.interval >= deadline:
                break
            if not settings.quiet:
                self._say_again(ended, number + 1, settings.retries)
            await asyncio.sleep(settings.interval)
            again = await self._once(target, settings, deadline, is_first=False)
            # What a whole attempt has said says more than that the next was cut off.
            ended = ended if was_cut_off(again) else again
        return replace(ended, took_s=monotonic() - started)

    async def quickly_on(self, target: str, settings: Settings) -> Ended | None:
        """Try the command's quick way; None where it takes the long one."""
        started = monotonic()
        deadline = deadline_of(settings, self.command)
        try:
            result = await self._bounded(target, settings, deadline, quick=True)
        except Exception as error:  # noqa: BLE001 # one target's bug must not hide the others
            return self._raised(target, error, monotonic() - started)
        if result is None:
            return None
        return answered(target, result, took_s=monotonic() - started)

    async def _once(
        self,
        target: str,
        settings: Settings,
        deadline: float | None,
        *,
        is_first: bool = True,
    ) -> Ended:
        started = monotonic()
        try:
            result = await self._bounded(target, settings, deadline, may_wait=is_first)
        except Exception as error:  # noqa: BLE001 # same
            return self._raised(target, error, monotonic() - started)
        assert result is not None  # only quick ones have no answer  # noqa: S101
        return answered(
            target,
            result,
            took_s=monotonic() - started,
            fail_on=settings.fail_on,
            is_check=self.command.is_check,
        )

    def _say_again(self, ended: Ended, number: int, most: int) -> None:
        prefix = f"{ended.target}: " if self.is_one_of_many else ""
        self.notice(f"{prefix}asking again ({number} of {most}): {why_again(ended)}")

    def _raised(self, target: str, error: Exception, took_s: float) -> Ended:
        if isinstance(error, DbopsError):
            return failed(target, error, took_s=took_s)
        return bug(target, error, verbose=bool(self.command.flags.get("verbose")))

    async def _bounded(
        self,
        target: str,
        settings: Settings,
        deadline: float | None,
        *,
        quick: bool = False,
        may_wait: bool = True,
    ) -> Result | int | None:
        """Run the operation within the overall time-out, when there is one."""
        command = self.command

        def call_now() -> tuple[Call, float | None]:
            left_s = None if deadline is None else deadline - monotonic()
            return self._call(target, with_time_left(settings, left_s)), left_s

        try:
            call, left_s = call_now()
            async with asyncio.timeout(left_s):
                if may_wait and await wait_first(call, command.waits_for):
                    # So long was waited that others have to hurry.
                    call, _ = call_now()
                if quick and command.quick is not None:
                    return await command.quick(call)
                # Of many targets, all have been asked the quick way before.
                call.was_scanned = self.is_one_of_many
                return await command.operation(call)
        except TimeoutError:
            raise UnreachableError(
                f"{command.name} was not done within {settings.timeout or 0:g} s",
                hint="give it longer with --timeout",
                phase=CUT_OFF,
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

        return Call(settings, say, show, self.stores, target, self.is_one_of_many)


async def wait_first(call: Call, what: "WaitFor | None") -> bool:
    """Honour `--wait`: a server that is on its way is given time to arrive.

    Returns:
        Whether anything was waited for.
    """
    if what is None or call.settings.wait is None:
        return False
    from dbops.operations.wait import wait  # noqa: PLC0415 # not on a probe's path

    role: Role = "admin" if what == "server" else "writer"
    await wait(
        call.connectors.connector(role),
        what,
        limit_s=call.settings.wait,
        on_failure=lambda failure: call.say(f"waiting: {failure.message}"),
    )
    return True


def real_stdout() -> Any:  # noqa: ANN401 # a text stream
    """Return stdout itself: while an operation runs, print() goes to stderr."""
    return sys.__stdout__

"""A command on all of its targets: in which order, how many at once, when to stop."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic

from dbops.cli import exit_codes
from dbops.cli.attempt import Attempts
from dbops.cli.call import Command
from dbops.cli.deadline import deadline_of
from dbops.cli.ended import Ended, skipped
from dbops.cli.lanes import in_lanes
from dbops.cli.progress import Progress
from dbops.cli.render import write_notice
from dbops.cli.resume import done_earlier
from dbops.cli.target import DEFAULT_TARGET, Target
from dbops.cli.targets import Targets, find_targets
from dbops.credentials import SecretStore
from dbops.errors import Outcome, UsageError
from dbops.results import Problem
from dbops.settings import Aws, Settings

# Each is a connection, and most of the time somebody waits for the other.
_AT_ONCE = 8
_SCANNED_AT_ONCE = 16
_CHECKED_AT_ONCE = 16


class Fleet:
    """A command on its targets, and how it ended on those that are done.

    Args:
        command: What to run.
        shows_steps: Whether a person reads along.
    """

    def __init__(self, command: Command, *, shows_steps: bool) -> None:
        self.command = command
        self.are_several = False
        self.progress: Progress | None = None
        self._shows_steps = shows_steps
        self._order: Sequence[str] = (DEFAULT_TARGET,)
        self._begun: set[str] = set()
        self._ended: dict[str, Ended] = {}
        self._stores: dict[Aws, SecretStore] = {}
        self._began = monotonic()
        self._deadline: float | None = None

    async def run(self) -> None:
        """Run the command on every target.

        Raises:
            DbopsError: If the targets cannot be found.
        """
        targets = await find_targets(self.command, self._stores)
        settings = targets.settings
        # Who goes on with a report gets a report, also of a single target.
        is_resumed = settings is not None and settings.resume is not None
        self.are_several = targets.are_several or is_resumed
        self._order = targets.order
        if self.are_several and self.command.is_single:
            raise UsageError(
                f"{self.command.name} shows one target, and {len(targets.order)} are "
                "named",
                hint="name one with --target",
            )
        # A check is one question, to however many; work takes each target its time.
        if settings is not None and (self.command.is_check or not self.are_several):
            self._deadline = deadline_of(settings, self.command, began=self._began)
        for notice in _notices(targets):
            write_notice(f"note: {notice}")
        if self.are_several:
            await self._on_several(targets)
            return
        self._note_all(targets.failed)
        for target in targets.listed:
            self._begun.add(target.name)
            self._ended[target.name] = await self._attempts.on(*target[:2])

    def ends(self, interruption: Problem | None, exit_code: int) -> list[Ended]:
        """Return how every target ended, in their order.

        Args:
            interruption: What stopped the command; None when nothing did.
            exit_code: Of targets that were interrupted.
        """
        if interruption is None:
            return [self._ended[name] for name in self._order]
        why = interruption.message
        return [
            self._ended.get(name)
            or (
                Ended(name, exit_code, problem=interruption)
                if name in self._begun or not self.are_several
                else skipped(name, why, exit_code=exit_code)
            )
            for name in self._order
        ]

    @property
    def _attempts(self) -> Attempts:
        return Attempts(
            self.command,
            shows_steps=self._shows_steps and not self.are_several,
            is_one_of_many=self.are_several,
            stores=self._stores,
            deadline=self._deadline,
        )

    async def _on_several(self, targets: Targets) -> None:
        settings = targets.settings
        self.progress = Progress(
            len(targets.order), quiet=settings is None or settings.quiet
        )
        self._note_all(targets.failed)
        if settings is None:
            return
        earlier: dict[str, Ended] = {}
        if settings.resume is not None:
            earlier = done_earlier(settings.resume, self.command.name)
        rest = []
        for target in targets.listed:
            known = target.ended or earlier.get(target.name)
            if known is not None:
                self._note(known)
            else:
                rest.append(target)
        await self._in_turns(await self._scanned(rest, settings), settings)

    async def _scanned(
        self, targets: Sequence[Target], settings: Settings
    ) -> list[Target]:
        """Ask all of them the quick way, and return those that take the long one."""
        if self.command.quick is None:
            return list(targets)
        attempts = self._attempts

        async def scan(target: Target) -> None:
            ended = await attempts.quickly_on(target.name, target.settings)
            if ended is not None:
                self._note(ended)

        await _each(scan, targets, at_once=settings.jobs or _SCANNED_AT_ONCE)
        return [it for it in targets if it.name not in self._ended]

    async def _in_turns(self, targets: Sequence[Target], settings: Settings) -> None:
        """Let the canaries go first, and nobody else where one of them fails."""
        canaries, others = targets[: settings.canary], targets[settings.canary :]
        await self._work(canaries, settings)
        fallen = [it.name for it in canaries if self._ended[it.name].exit_code]
        if not fallen:
            await self._work(others, settings)
            return
        why = f"the canary {', '.join(fallen)} failed"
        code = exit_codes.EXIT_CODES[Outcome.PARTIAL]
        self._note_all(skipped(it.name, why, exit_code=code) for it in others)

    async def _work(self, targets: Sequence[Target], settings: Settings) -> None:
        if self.command.errand is not None:
            from dbops.cli.workers import work  # noqa: PLC0415 # not for a probe

            await work(
                self.command,
                targets,
                jobs=settings.jobs,
                begin=lambda target: self._begun.add(target.name),
                done=self._note,
            )
            return
        attempts = self._attempts

        async def attempt(target: Target) -> None:
            self._begun.add(target.name)
            self._note(await attempts.on(target.name, target.settings))

        at_once = _CHECKED_AT_ONCE if self.command.is_check else _AT_ONCE
        await _each(attempt, targets, at_once=settings.jobs or at_once)

    def _note(self, ended: Ended) -> None:
        self._ended[ended.target] = ended
        if self.progress is not None:
            self.progress.tell(ended)

    def _note_all(self, ended: Iterable[Ended]) -> None:
        for it in ended:
            self._note(it)


async def _each(
    task: Callable[[Target], Awaitable[None]],
    targets: Sequence[Target],
    *,
    at_once: int,
) -> None:
    """Run `task` for every target, begun in their order."""
    waiting = iter(targets)

    async def lane() -> None:
        for target in waiting:
            await task(target)

    await in_lanes(lane, min(at_once, len(targets)))


def _notices(targets: Targets) -> Iterable[str]:
    """Return what is to be said about the settings, each sentence once."""
    heard = [
        notice
        for target in targets.listed
        if not target.settings.quiet
        for notice in target.settings.notices
    ]
    return dict.fromkeys(heard)

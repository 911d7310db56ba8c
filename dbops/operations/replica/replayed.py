"""Has the reader replayed what the writer wrote?

The writer's position is taken after the fact, and waited for on the reader. It needs no
privilege, no common clock and no traffic.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from dbops.engine.aurora import IS_AURORA
from dbops.engine.connect import Connector, Dialled
from dbops.engine.read_only import ReadOnly
from dbops.errors import RefusedError, UnreachableError
from dbops.operations.replica.answer import Followed
from dbops.operations.replica.judgement import Token, Verdict, grant, judged, late
from dbops.operations.replica.polling import LateError, polled
from dbops.operations.replica.questions import ON_READER
from dbops.operations.replica.token import taken
from dbops.operations.replica.visible import Version, until_visible
from dbops.results import Status

_TELL_EVERY_S = 1.0

Progress = Callable[[int], None]
"""Called about once a second with the bytes that the reader still lacks."""


async def until_replayed(
    writer: Connector,
    reader: Connector,
    *,
    limit_s: float,
    on_progress: Progress | None = None,
    version: Callable[[], Awaitable[Version]] | None = None,
) -> Followed:
    """Wait until the reader has replayed all that the writer has committed by now.

    Args:
        writer: How to connect to the primary.
        reader: How to connect to one standby; a connection that is lost is made again.
        limit_s: How long, in seconds.
        on_progress: Told how many bytes are still missing.
        version: Reads the version on the writer. Aurora tells no position, so there the
            reader has to show that version instead; a migration is proved by it, other
            writes are not.

    Raises:
        UnreachableError: If the reader has not followed in time; it says why, where
            that shows.
        RefusedError: If the reader does not follow this writer, if the writer is a
            standby, or if they are Aurora's and there is no `version`.
        DbopsError: As `Connector.__call__`, where waiting cannot help.
    """
    loop = asyncio.get_running_loop()
    started, deadline = loop.time(), loop.time() + limit_s
    watch: _Watch | None = None
    try:
        token: Token | str = await polled(writer, taken, deadline=deadline)
        if isinstance(token, str):
            version = version or _no_version(token)
            left_s = deadline - loop.time()
            return await until_visible(reader, await version(), limit_s=left_s)
        watch = _Watch(token, loop.time() - _TELL_EVERY_S, on_progress)
        verdict = await polled(reader, watch.ask, deadline=deadline)
    except LateError as error:
        raise _gave_up(error, watch, limit_s) from error.failure
    is_proved = verdict == "replayed"
    return Followed(
        status=Status.OK if is_proved else Status.WARN,
        reader=watch.where,
        is_writer=verdict == "is_writer",
        waited_s=round(loop.time() - started, 3),
        attempts=watch.attempts,
        bytes_behind=None if verdict == "is_writer" else watch.bytes_behind,
        requires=grant(watch.state) if verdict == "unproved" else None,
    )


@dataclass
class _Watch:
    """What has been seen of the reader so far."""

    token: Token
    told: float
    on_progress: Progress | None
    attempts: int = 0
    where: str = ""
    bytes_behind: int | None = None
    state: dict[str, Any] = field(default_factory=dict)

    async def ask(self, reader: Dialled) -> Verdict | None:
        """Return the verdict over the reader; None while it has not followed."""
        questions = ReadOnly(reader)
        if self.where != str(reader.address):
            if await questions.value(IS_AURORA):
                raise _no_position(str(reader.address))
            self.where = str(reader.address)
        self.attempts += 1
        self.state = await questions.row(ON_READER, self.token.position)
        verdict = judged(self.token, self.state)
        missing = max(self.state["bytes_behind"] or 0, 0)
        if self.bytes_behind is None:
            self.bytes_behind = missing
        if verdict != "not_yet":
            return verdict
        self._tell(missing)
        return None

    def _tell(self, missing: int) -> None:
        now = asyncio.get_running_loop().time()
        if self.on_progress is not None and now - self.told >= _TELL_EVERY_S:
            self.told = now
            self.on_progress(missing)


def _no_version(where: str) -> Callable[[], Awaitable[Version]]:
    raise _no_position(where)


def _no_position(where: str) -> RefusedError:
    return RefusedError(
        f"{where} is Aurora, which does not tell how far a reader is",
        hint="compare the migrations' version on both: name the project with -c",
        phase="replica",
    )


def _gave_up(
    error: LateError, watch: _Watch | None, limit_s: float
) -> UnreachableError:
    failure = error.failure
    if failure is None and watch is not None and watch.state:
        return late(watch.state, watch.token, watch.where, limit_s)
    who = "writer" if watch is None else "reader"
    last = failure.message if failure else "it accepts connections and says nothing"
    return UnreachableError(
        f"the {who} gave no answer within {limit_s:g} s: {last}",
        hint=failure.hint if failure else None,
        phase=failure.phase if failure else "replica",
        sqlstate=failure.sqlstate if failure else None,
    )

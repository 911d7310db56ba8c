"""`dbops local …`: the embedded writer and standby."""

import asyncio
import contextlib
import signal
import subprocess
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbops.cli.lazy import Commands, group_of
from dbops.cli.options import LOCAL
from dbops.cli.register import COMMANDS, command
from dbops.errors import UsageError

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.local.state import Pair
    from dbops.results import Result

LOCAL_COMMANDS = Commands()

COMMANDS.add(
    "local",
    lambda: group_of(
        LOCAL_COMMANDS,
        name="local",
        help="An embedded PostgreSQL writer and its streaming standby.",
    ),
)

_ROOM: dict[str, Any] = {
    "common": LOCAL,
    "uses_local_pair": False,
    "on": LOCAL_COMMANDS,
    "prefix": "local ",
}

Name = Annotated[str, typer.Option("--name", help="Which pair; there can be several.")]


@command(**_ROOM)
async def up(call: "Call", *, name: Name = "default") -> "Result":
    """Start the pair in the background, or find it running.

    Example: dbops local up
    """
    from dbops.local import pair  # noqa: PLC0415 # commands pay for their own imports

    settings = call.settings
    found = await pair.up(
        name=name, cache_dir=settings.cache_dir, pg_bin=settings.pg_bin
    )
    call.say("note: dbops uses this pair where no database is configured")
    return found


@command(**_ROOM)
async def down(call: "Call", *, name: Name = "default") -> "Result":
    """Stop the pair and keep its data.

    Example: dbops local down
    """
    from dbops.local import pair  # noqa: PLC0415 # same

    return await pair.down(name=name, cache_dir=call.settings.cache_dir)


@command(**_ROOM)
async def status(call: "Call", *, name: Name = "default") -> "Result":
    """Say whether both servers run, and whether the standby follows.

    Example: dbops local status
    """
    from dbops.local.status import status as operate  # noqa: PLC0415 # same

    return await operate(name=name, cache_dir=call.settings.cache_dir)


@command(**_ROOM)
async def reset(call: "Call", *, name: Name = "default") -> "Result":
    """Throw the pair's data away and start a new one.

    Example: dbops local reset
    """
    from dbops.local import pair  # noqa: PLC0415 # same

    settings = call.settings
    return await pair.reset(
        name=name, cache_dir=settings.cache_dir, pg_bin=settings.pg_bin
    )


@command(**_ROOM)
async def lag(
    call: "Call",
    delay: Annotated[str, typer.Argument(help="Such as 2s; 0s removes the delay.")],
    *,
    name: Name = "default",
) -> "Result":
    """Make the standby apply every commit this much later.

    Example: dbops local lag 2s
    """
    from dbops.local import replay  # noqa: PLC0415 # same
    from dbops.units import seconds  # noqa: PLC0415 # same

    try:
        delay_s = seconds(delay)
    except ValueError as error:
        raise UsageError(f"{delay!r} is not a duration", hint=str(error)) from error
    return await replay.lag(delay_s, name=name, cache_dir=call.settings.cache_dir)


@command(**_ROOM)
async def pause(call: "Call", *, name: Name = "default") -> "Result":
    """Let the standby receive and not replay.

    Example: dbops local pause
    """
    from dbops.local import replay  # noqa: PLC0415 # same

    return await replay.pause(name=name, cache_dir=call.settings.cache_dir)


@command(**_ROOM)
async def resume(call: "Call", *, name: Name = "default") -> "Result":
    """Let a paused standby replay again.

    Example: dbops local resume
    """
    from dbops.local import replay  # noqa: PLC0415 # same

    return await replay.resume(name=name, cache_dir=call.settings.cache_dir)


@command(**_ROOM)
async def promote(call: "Call", *, name: Name = "default") -> "Result":
    """Make the standby a primary of its own; `reset` makes a pair again.

    Example: dbops local promote
    """
    from dbops.local import replay  # noqa: PLC0415 # same

    return await replay.promote(name=name, cache_dir=call.settings.cache_dir)


@command(
    **_ROOM,
    settings={
        "context_settings": {
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        }
    },
)
async def run(
    call: "Call",
    words: Annotated[list[str], typer.Argument(metavar="-- CMD", help="What to run.")],
) -> int:
    """Run CMD with DATABASE_URL and DATABASE_READER_URL of a throw-away pair.

    Exits as CMD does. Example: dbops local run -- pytest
    """
    from dbops.local.throwaway import throwaway  # noqa: PLC0415 # same

    settings = call.settings
    async with throwaway(cache_dir=settings.cache_dir, pg_bin=settings.pg_bin) as pair:
        return await _run_beside(pair, words)


async def _run_beside(pair: "Pair", words: list[str]) -> int:
    """Run a program in our process group, so that Ctrl-C reaches it too."""
    from dbops.settings import child_environment  # noqa: PLC0415 # same

    environment = child_environment(
        DATABASE_URL=pair.writer.url(show_password=True),
        DATABASE_READER_URL=pair.reader.url(show_password=True),
    )
    try:
        child = subprocess.Popen(words, env=environment)  # noqa: ASYNC220, S603 # the user's own command; starting it takes no time
    except OSError as error:
        raise UsageError(
            f"{words[0]} cannot be run: {error.strerror}",
            hint="write the command after --",
        ) from error
    try:
        while child.poll() is None:
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        await _ended(child)
        raise
    # As a shell reports it: 128 + the signal that killed the program.
    code: int = child.returncode
    return code if code >= 0 else 128 - code


async def _ended(child: subprocess.Popen[bytes]) -> None:
    """Ask the program to stop, wait, and insist."""
    for number, patience_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while child.poll() is None:
                    await asyncio.sleep(0.02)
            return

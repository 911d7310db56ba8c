"""From an operation to the exit: the only event loop, the only catch-all."""

import asyncio
import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from dbops import __version__
from dbops.cli import exit_codes
from dbops.cli.call import Call, Command
from dbops.cli.render import (
    document,
    write_human,
    write_json,
    write_notice,
    write_problem,
)
from dbops.cli.signals import Signals
from dbops.endpoint import Role
from dbops.errors import DbopsError, Outcome, UnreachableError
from dbops.results import Problem, Result
from dbops.settings import Settings, load_settings, target_names, wanted_format

if TYPE_CHECKING:
    from dbops.settings.model import WaitFor

DEFAULT_TARGET = "default"

_LEAST_TIMEOUT_S = 0.1


class _Ended(NamedTuple):
    """How a command ended on one target."""

    target: str
    exit_code: int
    result: Result | None = None
    problem: Problem | None = None


def run(command: Command) -> NoReturn:
    """Run a command to the end of the process, whatever happens on the way."""
    # What was imported lives as long as the process: no need to look at it again.
    gc.freeze()
    gc.enable()
    # Without a handler Python shows their warnings and traces on stderr; whatever
    # matters in them is an error of ours too.
    for name in ("sqlalchemy", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    try:
        code = _run(command)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        # The reader of our output has gone: nobody is told, not at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = exit_codes.of_signal(signal.SIGPIPE)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process; a probe does not wait for the interpreter to be taken apart.

    That takes a tenth of its time, and all of ours is closed and flushed. A user's own
    code (an env.py, a model) may have left files open, and runs beside SQLAlchemy.
    """
    if "sqlalchemy" in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001 # nothing else runs them
    os._exit(code)


def _run(command: Command) -> int:
    as_json = wanted_format(command.flags, command.env_files) == "json"
    signals = Signals()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            ended = asyncio.run(signals.watched(_on_targets(command, as_json=as_json)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        ended = [_Ended(DEFAULT_TARGET, signals.exit_code, problem=signals.problem())]
    except DbopsError as error:
        ended = [_failed(DEFAULT_TARGET, error)]
    except Exception as error:  # noqa: BLE001 # the catch-all
        ended = [_bug(command, error)]
    return _tell(command.name, ended, as_json=as_json)


async def _on_targets(command: Command, *, as_json: bool) -> list[_Ended]:
    patterns = command.flags.get("target") or ()
    settings = _settings(command, None) if not patterns else None
    if settings is not None:
        patterns = settings.target
    if settings is not None and not patterns:
        return [await _on_target(command, DEFAULT_TARGET, settings, as_json=as_json)]
    return [
        await _on_target(command, name, None, as_json=as_json)
        for name in target_names(patterns)
    ]


async def _on_target(
    command: Command, target: str, settings: Settings | None, *, as_json: bool
) -> _Ended:
    try:
        settings = _with_time_left(settings or _settings(command, target), command)
        for notice in () if settings.quiet else settings.notices:
            write_notice(f"note: {notice}")
        result = await _bounded(command, settings, as_json=as_json)
    except DbopsError as error:
        return _failed(target, error)
    except Exception as error:  # noqa: BLE001 # one target's bug must not hide the others
        return _bug(command, error, target)
    if isinstance(result, int):
        return _Ended(target, result)
    return _Ended(target, exit_codes.EXIT_CODES[result.outcome], result, result.problem)


def _with_time_left(settings: Settings, command: Command) -> Settings:
    """Take what starting up has cost off the overall time-out.

    So that whoever connects gives up, and says which host was silent, before all of
    the time is over.
    """
    if settings.timeout is None:
        return settings
    least_s = min(settings.timeout, _LEAST_TIMEOUT_S)
    return settings.with_timeout(max(settings.timeout - command.startup_s, least_s))


async def _bounded(
    command: Command, settings: Settings, *, as_json: bool
) -> Result | int:
    """Run the operation within the overall time-out, when there is one."""

    def say(text: str) -> None:
        if not settings.quiet:
            write_notice(text)

    def show(title: str, result: Result) -> bool:
        if not as_json:
            write_human(result, _real_stdout(), title=title)
        return not as_json

    try:
        async with asyncio.timeout(settings.timeout):
            call = Call(settings, say, show)
            await _wait_first(call, command.waits_for)
            return await command.operation(call)
    except TimeoutError:
        raise UnreachableError(
            f"{command.name} was not done within {settings.timeout or 0:g} s",
            hint="give it longer with --timeout",
            phase="timeout",
        ) from None


async def _wait_first(call: Call, what: "WaitFor | None") -> None:
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


def _settings(command: Command, target: str | None) -> Settings:
    flags = {
        name: value
        for name, value in command.flags.items()
        if value is not None and value != [] and name in Settings.model_fields
    }
    settings = load_settings(
        target=target,
        env_files=command.env_files,
        flags=flags,
        local_pair=_local_pair if command.uses_local_pair else None,
    )
    if "application_name" in settings.sources:
        return settings
    return settings.named(f"dbops/{__version__} {command.name}")


def _local_pair() -> dict[str, object] | None:
    """Say where the running local pair is, in the words of the settings."""
    from dbops.local.state import running  # noqa: PLC0415 # where nothing else is said

    pair = running(cache_dir=load_settings().cache_dir)
    if pair is None:
        return None
    writer, reader = pair.writer.addresses[0], pair.reader.addresses[0]
    return {
        "db_host": writer.host,
        "db_port": writer.port,
        "db_reader_host": reader.host,
        "db_reader_port": reader.port,
        "db_user": pair.writer.user,
        "db_password": pair.writer.password,
        "db_name": pair.writer.database,
        "db_sslmode": pair.writer.sslmode,
    }


def _failed(target: str, error: DbopsError) -> _Ended:
    return _Ended(
        target, exit_codes.EXIT_CODES[error.outcome], problem=Problem.of(error)
    )


def _bug(command: Command, error: Exception, target: str = DEFAULT_TARGET) -> _Ended:
    """Report a defect of ours: its class and place, never its values."""
    verbose = bool(command.flags.get("verbose"))
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    problem = Problem(
        type="Bug",
        message=f"this is a bug in dbops: {type(error).__name__} at {where}",
        hint="please report it" + ("" if verbose else "; -v shows the trace"),
        outcome=Outcome.UNHEALTHY,
    )
    return _Ended(target, exit_codes.BUG, problem=problem)


def _tell(command: str, ended: list[_Ended], *, as_json: bool) -> int:
    codes = {end.exit_code for end in ended}
    several = len(ended) > 1
    code = exit_codes.EXIT_CODES[Outcome.PARTIAL] if several else codes.pop()
    if several and codes == {0}:
        code = 0
    if as_json:
        documents = [
            document(
                command,
                end.target,
                exit_code=end.exit_code,
                result=end.result,
                problem=end.problem,
            )
            for end in ended
            if end.result is not None or end.problem is not None
        ]
        if several:
            status = "ok" if code == 0 else "fail"
            whole = {"command": command, "status": status, "exit_code": code}
            write_json({**whole, "targets": documents}, sys.stdout)
        elif documents:
            write_json(documents[0], sys.stdout)
        return code
    for end in ended:
        if end.result is not None:
            write_human(end.result, sys.stdout, title=end.target if several else None)
        if end.problem is not None:
            write_problem(end.problem)
    return code


def _real_stdout() -> Any:  # noqa: ANN401 # a text stream
    """Return stdout itself: while an operation runs, print() goes to stderr."""
    return sys.__stdout__

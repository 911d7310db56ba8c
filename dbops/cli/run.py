"""From an operation to the exit: the only event loop, the only catch-all."""

import asyncio
import atexit
import contextlib
import io
import os
import signal
import sys
from typing import NoReturn

from dbops.cli import exit_codes
from dbops.cli.call import Command
from dbops.cli.ended import Ended, bug, failed
from dbops.cli.fleet import Fleet
from dbops.cli.formats import FOR_PEOPLE, tell
from dbops.cli.garbage import collect_seldom
from dbops.cli.hush import hush_libraries
from dbops.cli.signals import Signals
from dbops.cli.target import DEFAULT_TARGET
from dbops.errors import DbopsError
from dbops.results import Problem
from dbops.settings import wanted_format


def run(command: Command) -> NoReturn:
    """Run a command to the end of the process, whatever happens on the way."""
    collect_seldom()
    hush_libraries()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal or a monitoring system may know fewer characters than a database.
        sys.stdout.reconfigure(errors="backslashreplace")
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
    form = wanted_format(command.flags, command.env_files)
    signals = Signals()
    fleet = Fleet(command, shows_steps=form in FOR_PEOPLE)
    interruption: Problem | None = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            asyncio.run(signals.watched(fleet.run()))
    except (asyncio.CancelledError, KeyboardInterrupt):
        interruption = signals.problem()
    except DbopsError as error:
        return tell(command.name, [failed(DEFAULT_TARGET, error)], form)
    except Exception as error:  # noqa: BLE001 # the catch-all
        return tell(command.name, [_bug(command, error)], form)
    try:
        return tell(
            command.name,
            fleet.ends(interruption, signals.exit_code),
            form,
            are_several=fleet.are_several,
            progress=fleet.progress,
            exit_code=signals.exit_code if interruption else None,
        )
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 # what cannot be told is a bug too
        return tell(command.name, [_bug(command, error)], form)


def _bug(command: Command, error: Exception) -> Ended:
    verbose = bool(command.flags.get("verbose"))
    return bug(DEFAULT_TARGET, error, verbose=verbose)

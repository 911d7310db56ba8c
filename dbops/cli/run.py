"""From an operation to the exit: the only event loop, the only catch-all."""

import asyncio
import atexit
import contextlib
import os
import signal
import sys
from typing import NoReturn

from dbops.cli import exit_codes, github
from dbops.cli.call import Command
from dbops.cli.ended import Ended, bug, failed
from dbops.cli.fleet import Fleet
from dbops.cli.garbage import collect_seldom
from dbops.cli.hush import hush_libraries
from dbops.cli.signals import Signals
from dbops.cli.target import DEFAULT_TARGET
from dbops.cli.tell import tell_one, tell_several
from dbops.errors import DbopsError
from dbops.results import Problem
from dbops.settings import wanted_format
from dbops.settings.model import Format


def run(command: Command) -> NoReturn:
    """Run a command to the end of the process, whatever happens on the way."""
    collect_seldom()
    hush_libraries()
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
    as_json = form == "json"
    signals = Signals()
    fleet = Fleet(command, shows_steps=not as_json)
    interruption: Problem | None = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            asyncio.run(signals.watched(fleet.run()))
    except (asyncio.CancelledError, KeyboardInterrupt):
        interruption = signals.problem()
    except DbopsError as error:
        return _tell_one(command.name, failed(DEFAULT_TARGET, error), form)
    except Exception as error:  # noqa: BLE001 # the catch-all
        verbose = bool(command.flags.get("verbose"))
        ended = bug(DEFAULT_TARGET, error, verbose=verbose)
        return _tell_one(command.name, ended, form)
    ends = fleet.ends(interruption, signals.exit_code)
    if not fleet.are_several:
        return _tell_one(command.name, ends[0], form)
    if form == "github":
        github.write_annotations(command.name, ends)
    return tell_several(
        command.name,
        ends,
        as_json=as_json,
        progress=fleet.progress,
        exit_code=signals.exit_code if interruption else None,
    )


def _tell_one(name: str, ended: Ended, form: Format) -> int:
    if form == "github":
        return github.tell_one(name, ended)
    return tell_one(name, ended, as_json=form == "json")

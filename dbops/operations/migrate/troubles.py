"""What env.py, a revision or the driver raises, told as what it means here."""

import configparser
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from dbops.endpoint import Address, Endpoint
from dbops.engine.faults.translate import translate
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    RefusedError,
    UnreachableError,
)
from dbops.operations.migrate.run import Run

_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^/\s]*@")
_IS_LIBRARY = re.compile(r"^<|[/\\]site-packages[/\\]|[/\\]lib[/\\]python3")
# What can go wrong before anything of env.py has run.
_CANNOT_RUN: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((ImportError,), "install what it imports beside dbops"),
    ((SyntaxError,), "mend it; Python could not read it"),
    (
        (NoSuchModuleError, ArgumentError),
        "look at the URL: it begins with postgresql+psycopg://, or another driver",
    ),
    ((configparser.Error,), "look at alembic.ini: a % in it is written %%"),
)
# query_canceled: by statement_timeout, or by somebody.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_CANCELLED = "57014"
_NOWHERE = Endpoint(addresses=(Address("the project's own database"),))


class ExitedError(Exception):
    """env.py has called sys.exit; its cause is what env.py had caught.

    A SystemExit itself would end our event loop, and the process without a word.
    """


@contextmanager
def named(run: Run, endpoint: Endpoint | None) -> Generator[None]:
    """Translate what env.py raises inside the block, and name the revision.

    Raises:
        DbopsError: Instead of everything that is not ours.
    """
    try:
        yield
    except Exception as error:
        if run.refusal is not None:
            raise run.refusal from None
        raise _translated(error, run, endpoint or _NOWHERE) from error


def _translated(error: Exception, run: Run, endpoint: Endpoint) -> DbopsError:
    fault: DbopsError
    if isinstance(error, ExitedError):
        if isinstance(error.__cause__, Exception):
            return _translated(error.__cause__, run, endpoint)
        fault = FailedError(
            f"env.py ended the process (exit {error})",
            hint="look at what env.py does before it calls sys.exit",
            phase="migrate",
        )
    elif isinstance(error, CommandError):
        fault = _from_alembic(error)
    else:
        where = (run.legs and run.leg.endpoint) or endpoint
        fault = translate(error, where, phase="migrate") or _unknown(error)
    if fault.sqlstate == _CANCELLED:
        fault = _ended(fault)
    if run.failing is not None:
        return _with_revision(fault, run, run.failing)
    return _before_any(error) or fault


def _before_any(error: Exception) -> ConfigError | None:
    """Tell what keeps env.py from running at all."""
    # What configparser says holds a part of the URL.
    is_ini = isinstance(error, configparser.Error)
    said = type(error).__name__ if is_ini else _masked(error)
    for kinds, hint in _CANNOT_RUN:
        if isinstance(error, kinds):
            return ConfigError(
                f"env.py cannot be run: {said}", hint=hint, phase="migrate"
            )
    return None


def _masked(error: Exception) -> str:
    """Return what an exception says, without the passwords of the URLs in it."""
    return _PASSWORD.sub(r"\1***@", str(error))


def _ended(fault: DbopsError) -> DbopsError:
    """Tell a statement that the server has ended from a server that is silent."""
    return FailedError(
        fault.message,
        hint="give it longer with --statement-timeout, or do less in one statement",
        phase=fault.phase,
        sqlstate=fault.sqlstate,
        retryable=fault.retryable,
    )


def _unknown(error: Exception) -> DbopsError:
    frames = extract_tb(error.__traceback__)
    # The project's own line says more than that of a library.
    own = [it for it in frames if not _IS_LIBRARY.search(it.filename)]
    place = frames[-1]
    file = Path(place.filename)
    if isinstance(error, AssertionError) and file.parent.parent.name == "alembic":
        return FailedError(
            "autocommit_block cannot be entered in a transaction that env.py holds",
            hint="let env.py use context.begin_transaction(), and run no statement "
            "before context.configure()",
            phase="migrate",
        )
    said = f": {_masked(error)}" if str(error) else ""
    if own:
        place, file = own[-1], Path(own[-1].filename)
    return FailedError(
        f"{type(error).__name__}{said} ({file.name}, line {place.lineno})",
        phase="migrate",
    )


def _with_revision(fault: DbopsError, run: Run, revision: str) -> DbopsError:
    leg = run.leg
    where = f" of {leg.database}" if len(run.legs) > 1 else ""
    return fault.retold(
        f"revision {revision}{where} failed {_fate(fault, run)}: {fault.message} "
        f"({len(leg.survivors)} of {len(leg.planned)} pending revisions are applied)",
        hint=fault.hint or "mend the revision and run dbops migrate again",
        phase="migrate",
    )


def _fate(fault: DbopsError, run: Run) -> str:
    """Say what is left of a revision that failed, and no more than is known."""
    if not run.leg.is_rolled_back:
        return "half-way, and what it did outside of its transaction stays"
    if isinstance(fault, UnreachableError):
        return "and whether it was kept is unknown (see: dbops status)"
    return "and was rolled back"


def _from_alembic(error: CommandError) -> DbopsError:
    if "Can't locate" in str(error) or "No such revision" in str(error):
        return RefusedError(
            f"the revision is unknown to this code: {error}",
            hint="deploy the code that has this revision; see: dbops status",
            phase="migrate",
        )
    return FailedError(f"Alembic refused: {error}", phase="migrate")

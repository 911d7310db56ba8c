"""What env.py, a revision or the driver raises, told as what it means here."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from alembic.util import CommandError

from dbops.endpoint import Address, Endpoint
from dbops.engine.faults import translate
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    RefusedError,
    UnreachableError,
)
from dbops.operations.migrate.run import Run

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
    if run.failing is not None:
        return _with_revision(fault, run, run.failing)
    if isinstance(error, ImportError):
        return ConfigError(
            f"env.py cannot be run: {error}",
            hint="install what it imports beside dbops",
            phase="migrate",
        )
    return fault


def _unknown(error: Exception) -> DbopsError:
    place = extract_tb(error.__traceback__)[-1]
    file = Path(place.filename)
    if isinstance(error, AssertionError) and file.parent.parent.name == "alembic":
        return FailedError(
            "autocommit_block cannot be entered in a transaction that env.py holds",
            hint="let env.py use context.begin_transaction(), and run no statement "
            "before context.configure()",
            phase="migrate",
        )
    said = f": {error}" if str(error) else ""
    return FailedError(
        f"{type(error).__name__}{said} ({file.name}, line {place.lineno})",
        phase="migrate",
    )


def _with_revision(fault: DbopsError, run: Run, revision: str) -> DbopsError:
    leg = run.leg
    where = f" of {leg.database}" if len(run.legs) > 1 else ""
    return type(fault)(
        f"revision {revision}{where} failed {_fate(fault, run)}: {fault.message} "
        f"({len(leg.survivors)} of {len(leg.planned)} pending revisions are applied)",
        hint=fault.hint or "mend the revision and run dbops migrate again",
        phase="migrate",
        sqlstate=fault.sqlstate,
        retryable=fault.retryable,
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

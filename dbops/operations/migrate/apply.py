"""Apply revisions: one migrator at a time, short waits, retries where they are safe."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.blockers import Blockers
from dbops.operations.migrate.environment import run_environment
from dbops.operations.migrate.journal.noting import noting
from dbops.operations.migrate.journal.record import prepare
from dbops.operations.migrate.leftover import with_leftovers
from dbops.operations.migrate.lock import Busy, Lock
from dbops.operations.migrate.migrated import AppliedRevision
from dbops.operations.migrate.project import Project, Steps
from dbops.operations.migrate.run import Run
from dbops.operations.migrate.session import Parameter
from dbops.operations.migrate.step_in import Applied, Guard, Rules
from dbops.operations.migrate.stop import Stop
from dbops.settings import Settings

# How long other migrators are waited for when nobody says it.
_LOCK_LIMIT_S = 60.0

# lock_not_available and deadlock_detected: the server has rolled everything back.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRY_AGAIN = frozenset({"55P03", "40P01"})
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0


# Lets a server notice that a killed migrator is gone, instead of finishing its
# statement; from 14 on.
# https://www.postgresql.org/docs/current/runtime-config-connection.html
NOTICE_DEATH = Parameter("client_connection_check_interval", "500ms")


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(slots=True)
class Options:
    """How revisions are applied; the time-outs come from the settings."""

    on_progress: Callable[[str], None] = silent
    """Told what is waited for."""
    journal: bool = False
    """Keep the journal of the database."""
    wait_replica_s: float | None = None
    """Then wait for the reader to follow, so many seconds; None does not wait."""
    on_applied: Applied | None = None
    """Called in a revision's own transaction, before that is committed."""
    guard: Guard | None = None
    """Called with each session before anything is done in it."""


@dataclass(slots=True)
class Attempts:
    """All passes through env.py until the work was done."""

    run: Run = field(default_factory=Run)
    """The last one."""
    before: tuple[str, ...] | None = None
    """The revisions before the first."""
    applied: list[AppliedRevision] = field(default_factory=list)
    """What all of them have applied."""
    retries: int = 0

    def keep(self) -> None:
        """Take down what the last pass leaves in the database."""
        if self.before is None and any(leg.has_run for leg in self.run.legs):
            self.before = self.run.before
        for leg in self.run.legs:
            self.applied += leg.applied if leg.failing is None else leg.survivors


async def apply(
    connectors: Connectors, project: Project, steps: Steps, options: Options
) -> Attempts:
    """Run env.py until `steps` are done.

    A revision that did not get its locks within --ddl-lock-timeout was rolled back by
    the server and is tried again, unless it had ended its transaction before.

    Args:
        connectors: How to reach the database (role `migration`), and the settings.
        project: Whose env.py.
        steps: What Alembic asks for the revisions to apply.
        options: How.

    Raises:
        LockedError: If another migrator does not finish, or a table does not become
            free, in time; whoever is in the way is named.
        DbopsError: As `run_environment`.
    """
    settings, attempts, stop = connectors.settings, Attempts(), Stop()
    rules = _rules(settings, options, stop)
    blockers = Blockers(
        connectors,
        patience_s=settings.ddl_lock_timeout,
        on_progress=options.on_progress,
    )
    async with blockers.watching():
        while True:
            run = attempts.run = blockers.run = Run()
            try:
                await run_environment(
                    connectors, project, steps, run=run, rules=rules, stop=stop
                )
            except Busy:
                rules.lock.waited_s += await _pause(0.5)
                continue
            except asyncio.CancelledError:
                options.on_progress(_interrupted(run))
                raise
            except DbopsError as error:
                if not _may_retry(error, attempts, settings.ddl_retries):
                    told = _blocked(error, blockers, attempts)
                    raise await with_leftovers(connectors, run, told) from error
                attempts.keep()
            else:
                attempts.keep()
                return attempts
            attempts.retries += 1
            options.on_progress(
                f"revision {run.failing} did not get its locks: tried again "
                f"({attempts.retries} of {settings.ddl_retries})"
            )
            pause_s = _FIRST_PAUSE_S * 1.5**attempts.retries
            await _pause(min(pause_s, _LONGEST_PAUSE_S))


def _rules(settings: Settings, options: Options, stop: Stop) -> Rules:
    limit_s = settings.lock_timeout
    applied = options.on_applied
    return Rules(
        parameters=_parameters(settings),
        lock=Lock(
            _LOCK_LIMIT_S if limit_s is None else limit_s, stop, options.on_progress
        ),
        on_session=prepare if options.journal else None,
        on_applied=noting(applied) if options.journal else applied,
        schema=settings.tenant_schema,
        guard=options.guard,
    )


def _interrupted(run: Run) -> str:
    """Say how far it was, to whoever has to go on from there."""
    done = sum(len(leg.survivors) for leg in run.legs)
    if run.failing is None:
        return f"{done} revisions were applied"
    is_rolled_back = all(leg.is_rolled_back for leg in run.legs)
    fate = "is rolled back" if is_rolled_back else "stays half-way; see: dbops check"
    return f"{done} revisions were applied; {run.failing} was under way and {fate}"


def _may_retry(error: DbopsError, attempts: Attempts, limit: int) -> bool:
    run = attempts.run
    return (
        error.sqlstate in _TRY_AGAIN
        and run.failing is not None
        and all(leg.is_rolled_back for leg in run.legs)
        and attempts.retries < limit
    )


def _blocked(error: DbopsError, blockers: Blockers, attempts: Attempts) -> DbopsError:
    """Say who was in the way, and how often it was tried."""
    if error.sqlstate not in _TRY_AGAIN:
        return error
    who = f"; in the way: {blockers.seen}" if blockers.seen else ""
    tried = f" ({attempts.retries + 1} attempts)" if attempts.retries else ""
    return error.retold(
        f"{error.message}{tried}{who}",
        hint="run dbops migrate again when the table is free, or raise "
        "--ddl-lock-timeout",
    )


async def _pause(longest_s: float) -> float:
    """Let time pass; return how much, in seconds."""
    pause_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 # spreads those who wait
    await asyncio.sleep(pause_s)
    return pause_s


def _parameters(settings: Settings) -> tuple[Parameter, ...]:
    said = {
        "lock_timeout": ("ddl_lock_timeout", settings.ddl_lock_timeout),
        "statement_timeout": ("statement_timeout", settings.statement_timeout),
    }
    timeouts = (
        Parameter(name, f"{round(value_s * 1000)}ms", insist=field in settings.sources)
        for name, (field, value_s) in said.items()
        if value_s is not None
    )
    return (NOTICE_DEATH, *timeouts)

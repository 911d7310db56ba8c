"""Run a project's env.py as Alembic would, in a thread of its own.

There it may call asyncio.run and block as it likes; the loop of the caller goes on,
and ends the statement under way when the caller is cancelled.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.migrate.lending import Attributes, Place, Wanted, filled_in
from dbops.operations.migrate.process import process_as_it_was
from dbops.operations.migrate.project import Project, Steps, Turn
from dbops.operations.migrate.revisions import readable
from dbops.operations.migrate.run import Run
from dbops.operations.migrate.step_in import Rules, step_in
from dbops.operations.migrate.stop import Stop
from dbops.operations.migrate.troubles import ExitedError, named
from dbops.threads import in_daemon_thread

# How long an env.py that was asked to end may take: a ROLLBACK and its own clean-up.
_LAST_S = 5.0


class Enough(BaseException):
    """Leaves an env.py of which everything is known: the rest of it stays undone."""


async def run_environment(
    connectors: Connectors,
    project: Project,
    steps: Steps,
    *,
    run: Run,
    rules: Rules | None = None,
    stop: Stop | None = None,
) -> None:
    """Execute env.py with `steps` as what is to be done.

    An env.py opens its own connection, to the database that its configuration names,
    or else to ours; one that wants to be lent a connection gets ours.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose env.py.
        steps: What Alembic asks for the revisions to apply.
        run: Filled on the way, also when it fails.
        rules: How to treat the session; None only looks, and changes nothing.
        stop: The request to end that the rules know of.

    Raises:
        Busy: If the lock has to be waited for outside of env.py.
        DbopsError: Whatever goes wrong, translated; a revision that fails is named.
    """
    place = await Place.of(connectors, project)
    pass_ = _Pass(project, _noted(steps, run), run, rules, stop or Stop(), place)
    async with Turn():
        with named(run, place.led_to(project)):
            if not project.borrows:
                try:
                    await pass_.through(pass_.on_its_own)
                except Wanted:
                    project.borrows = True
            if project.borrows:
                await pass_.through(pass_.borrowing)
    if run.refusal is not None:
        raise run.refusal


async def look(
    connectors: Connectors,
    project: Project,
    question: Callable[[tuple[str, ...], MigrationContext], None],
) -> None:
    """Ask something of the database, over a fresh connection and as env.py says.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose env.py.
        question: Called with the database's revisions and Alembic's context, whose
            `connection` it may read with; once for each database of env.py. It may
            raise `Enough`.

    Raises:
        DbopsError: As `run_environment`.
    """

    def only_look(revisions: Sequence[str], context: MigrationContext) -> list[object]:
        question(tuple(sorted(revisions)), context)
        return []

    await run_environment(connectors, project, only_look, run=Run())


def _noted(steps: Steps, run: Run) -> Steps:
    """Note what is going to be done; env.py may swallow a refusal of ours."""

    def asked(current: tuple[str, ...], context: MigrationContext) -> Any:  # noqa: ANN401 # Alembic's own
        try:
            with readable():
                planned = list(steps(current, context))
        except DbopsError as error:
            raise run.refuse(error) from error
        run.leg.begin(current, planned)
        return planned

    return asked


@dataclass(slots=True)
class _Pass:
    """One pass through env.py."""

    project: Project
    steps: Steps
    run: Run
    rules: Rules | None
    stop: Stop
    place: Place

    async def through(self, execute: Callable[[], None]) -> None:
        """Run `execute` in a thread; when we are cancelled, see it end."""
        thread = asyncio.ensure_future(in_daemon_thread(execute))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            # Its own end, and not ours, when the thread is done.
            if not thread.done():
                self.stop.ask()
                await asyncio.wait([thread], timeout=_LAST_S)
            if thread.done() and not thread.cancelled():
                thread.exception()  # it has been looked at
            raise

    def on_its_own(self) -> None:
        """Let env.py connect by itself."""
        # asyncio.get_event_loop() makes one in the main thread alone.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            with filled_in(self.project, self.place):
                self._execute(None)
        finally:
            loop.close()
            asyncio.set_event_loop(None)

    def borrowing(self) -> None:
        """Lend env.py a connection of ours."""
        asyncio.run(self._borrowing())  # noqa: TID251 # a thread that has no loop yet

    async def _borrowing(self) -> None:
        # It imports the half of SQLAlchemy that few projects' env.py need.
        from dbops.engine.ddl import ddl_connection  # noqa: PLC0415

        async with ddl_connection(self.place.connector) as connection:
            await connection.run_sync(self._execute)

    def _execute(self, lent: Connection | None) -> None:
        project = self.project
        environment = EnvironmentContext(
            project.config,
            project.script,
            fn=self.steps,
            dont_mutate=self.rules is None,
        )
        step_in(environment, self.run, self.stop, self.rules)
        before, project.config.attributes = (
            project.config.attributes,
            Attributes(project.config.attributes, self.place, lent),
        )
        try:
            with environment, process_as_it_was():
                project.script.run_env()
        except Enough as enough:
            # Its frames would keep env.py alive, and what that has left open unwritten.
            enough.__traceback__ = None
        except SystemExit as ended:
            if ended.code:
                raise ExitedError(ended.code) from ended.__context__
        finally:
            project.config.attributes = before
            for leg in self.run.legs:
                if leg.dispose is not None:
                    leg.dispose()

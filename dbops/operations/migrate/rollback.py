"""Take revisions back, after somebody has seen which."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.util import CommandError

from dbops.engine.connect import Connectors
from dbops.errors import RefusedError, UsageError
from dbops.operations.migrate.apply import Options, apply
from dbops.operations.migrate.environment import look
from dbops.operations.migrate.migrated import Migrated
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.run import Leg
from dbops.operations.migrate.targets import check_known, unreachable_target
from dbops.operations.migrate.verify import verified
from dbops.results import Model, Result


class WayBack(NamedTuple):
    """How far back; one step when nothing is said."""

    steps: int | None = None
    to: str | None = None
    """The revision to go back to, such as `base`."""
    either: str | None = None
    """A number of steps or a revision, whichever it can be."""

    def spelled(self, project: Project) -> str:
        """Return it as Alembic spells it.

        Raises:
            UsageError: If it is a number of steps, and a revision too.
        """
        if self.to is not None:
            return self.to
        either = self.either or ""
        if not either.isdecimal():
            return either or f"-{self.steps or 1}"
        if project.has(either):
            raise UsageError(
                f"{either} is a revision, and a number of steps too",
                hint=f"say --steps {either}, or --to {either}",
            )
        return f"-{int(either)}"


class ReturningRevision(Model):
    """One revision that would be taken back."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""


class RollbackPlan(Result):
    """What a rollback would do; nothing was changed."""

    before: tuple[str, ...]
    """The database's revisions now."""
    planned: tuple[ReturningRevision, ...]
    """What would be taken back, in this order."""


async def planned_rollback(
    connectors: Connectors,
    project: Project,
    way: WayBack,
) -> RollbackPlan:
    """Say what `rollback` would take back; changes nothing.

    Args:
        connectors: How to reach the database (role `migration`).
        project: Whose revisions.
        way: How far.

    Raises:
        RefusedError: If the target is protected, or the database ahead of the code.
        UsageError: If there is no such way.
        DbopsError: As `look`.
    """
    _check_protected(connectors)
    seen: list[Leg] = []

    def question(current: tuple[str, ...], _context: MigrationContext) -> None:
        leg = Leg()
        leg.begin(current, _steps_back(project, way, current))
        seen.append(leg)

    await look(connectors, project, question)
    return RollbackPlan(
        before=tuple(sorted({name for leg in seen for name in leg.before})),
        planned=tuple(
            ReturningRevision(revision=step.revision, message=step.message)
            for leg in seen
            for step in leg.planned
        ),
    )


async def rollback(
    connectors: Connectors,
    project: Project,
    plan: RollbackPlan,
    *,
    confirmed: bool,
    options: Options | None = None,
) -> Migrated:
    """Take back what was planned, and nothing else.

    Args:
        connectors: How to reach the database (role `migration`), and the settings.
        project: Whose revisions.
        plan: What somebody has seen.
        confirmed: Whether that somebody has said yes.
        options: How.

    Raises:
        RefusedError: If nobody confirmed, the target is protected, or the database has
            moved on since this was planned.
        FailedError: If a downgrade fails; it is named.
        LockedError: As `apply`.
        DbopsError: As `Connector.__call__`.
    """
    _check_protected(connectors)
    if plan.planned and not confirmed:
        names = ", ".join(step.revision for step in plan.planned)
        raise RefusedError(
            f"taking back {names} needs a confirmation", hint="repeat it with --yes"
        )
    options = options or Options()
    script = project.script
    planned = tuple(dict.fromkeys(step.revision for step in plan.planned))
    known = _held(project, plan.before)

    def steps(current: Sequence[str], _context: MigrationContext) -> list[Any]:
        if not known.issuperset(current):
            raise RefusedError(
                "the database has moved on since this rollback was planned",
                hint="look at the plan again: dbops rollback --dry-run",
                phase="migrate",
            )
        # After a retry some of them are done.
        held = _held(project, current)
        return [
            MigrationStep.downgrade_from_script(
                script.revision_map, script.get_revision(name)
            )
            for name in planned
            if name in held
        ]

    attempts = await apply(connectors, project, steps, options)
    return await verified(connectors, project, attempts)


def _check_protected(connectors: Connectors) -> None:
    if connectors.settings.protected:
        raise RefusedError(
            "this target is protected: nothing is taken back",
            hint="protected = true stands in its configuration",
        )


def _held(project: Project, current: Sequence[str]) -> frozenset[str]:
    """Return the revisions that a database at `current` has."""
    check_known(project, current)
    scripts = project.script.iterate_revisions(tuple(current), "base")
    return frozenset(script.revision for script in scripts) if current else frozenset()


def _steps_back(project: Project, way: WayBack, current: Sequence[str]) -> list[Any]:
    check_known(project, current)
    if not current:
        return []
    spelled = way.spelled(project)
    try:
        # What Alembic's own `downgrade` command calls.
        return list(project.script._downgrade_revs(spelled, current))  # type: ignore[arg-type] # noqa: SLF001
    except CommandError as error:
        raise unreachable_target(project, spelled, error) from error
    except AttributeError as error:
        raise RefusedError(
            f"a revision on the way has no downgrade(): {error}",
            hint="write it, or go forward with a new revision",
            phase="migrate",
        ) from error

"""Run env.py offline, once for all revisions."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import Connection, text

from dbops.operations.migrate.offline.nowhere import dialect_of, execute_env, nowhere
from dbops.operations.migrate.offline.recording import Recording
from dbops.operations.migrate.offline.silent import (
    SilentConnection,
    missing_values,
    type_values,
)
from dbops.operations.migrate.process import process_as_it_was
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.way import steps_to


class Rendering:
    """An upgrade that is rendered instead of applied.

    Args:
        project: Whose env.py.
        target: Where the upgrade leads to.
        start: The revisions that it starts from.
    """

    def __init__(self, project: Project, target: str, start: Sequence[str]) -> None:
        self._project = project
        self._target = target
        self._start = tuple(start)
        self._recording = Recording()
        self._was_asked = False

    def run(self) -> Recording | None:
        """Execute env.py; blocks.

        Returns:
            What it printed; None when it never asked for the revisions.

        Raises:
            Exception: Whatever env.py raises; a revision's exception is its problem.
        """
        with nowhere(self._project) as connection:
            try:
                self._execute(None)
            except (Exception, SystemExit):
                if self._was_asked:
                    raise
            if not self._was_asked:
                # It has no offline mode: let it think that it is online.
                self._execute(connection)
        return self._recording if self._was_asked else None

    def _execute(self, lent: Connection | None) -> None:
        self._recording = Recording()
        config, script = self._project.config, self._project.script
        environment = EnvironmentContext(
            config,
            script,
            fn=self._steps,
            as_sql=True,
            starting_rev=self._start or None,
            destination_rev=self._target,
        )
        environment.configure = self._configure(environment)  # type: ignore[method-assign] # env.py calls it through Alembic's proxy
        if lent is not None:
            environment.is_offline_mode = lambda: False  # type: ignore[method-assign] # same
        config.attributes["connection"] = lent
        try:
            with environment, process_as_it_was():
                execute_env(Path(script.env_py_location))
        finally:
            config.attributes.pop("connection", None)

    def _configure(self, environment: EnvironmentContext) -> Callable[..., None]:
        theirs = environment.configure

        def configure(
            connection: Any = None,  # noqa: ANN401 # Alembic's own
            url: Any = None,  # noqa: ANN401 # same
            dialect_name: str | None = None,
            dialect_opts: dict[str, Any] | None = None,
            **options: Any,  # noqa: ANN401 # same
        ) -> None:
            options.pop("output_encoding", None)
            self._recording.begin_file(options.get("output_buffer"))
            options["output_buffer"] = self._recording
            # Without it a value is rendered as :x::INTEGER, and there is no error.
            options["literal_binds"] = True
            # As `migrate` runs them.
            options["transaction_per_migration"] = True
            theirs(
                dialect_name=dialect_of(connection, url, dialect_name),
                # Other styles double every % in a statement.
                dialect_opts={**(dialect_opts or {}), "paramstyle": "named"},
                **options,
            )
            self._attend(environment.get_context())

        return configure

    def _attend(self, context: MigrationContext) -> None:
        """See every statement before it is rendered."""
        impl: Any = context.impl
        type_values(context.dialect)
        render, hindered = impl._exec, self._recording.hindered  # noqa: SLF001 # every statement passes it

        def execute(statement: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 # as Alembic's
            if isinstance(statement, str):
                statement = text(statement)
            if missing := missing_values(statement, context.dialect):
                names = ", ".join(missing)
                raise hindered(f"a statement has parameters without a value: {names}")
            return render(statement, *args, **kwargs)

        impl._exec = execute  # noqa: SLF001 # same
        silent: Any = SilentConnection(context.dialect, execute, hindered)
        context.connection = impl.connection = silent

    def _steps(self, current: Sequence[str], _context: object) -> list[RevisionStep]:
        self._was_asked = True
        steps = steps_to(self._project, self._target, current)
        for step in steps:
            step.migration_fn = self._recording.recorded(
                step.revision, step.migration_fn
            )
        return steps

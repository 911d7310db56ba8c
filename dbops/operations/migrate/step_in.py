"""Where dbops steps in while a project's env.py runs, whatever that does.

Alembic has two calls that every env.py makes: `configure`, with the connection that
will run the DDL, and `run_migrations`. At the first the session is looked at, locked
and given its time-outs; at the second its transactions are settled.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection

from dbops.endpoint import Address, Endpoint, parse_url
from dbops.errors import ConfigError, DbopsError, LockedError, RefusedError
from dbops.operations.migrate.lock import Lock, give_back
from dbops.operations.migrate.run import Leg, Run
from dbops.operations.migrate.session import Parameter, Session
from dbops.operations.migrate.stop import Stop
from dbops.operations.migrate.watch import watch

Prepare = Callable[[Connection], None]
"""Called before the first revision, once the lock is held; it commits what it does."""

Applied = Callable[[Connection, Leg, MigrationInfo, float], None]
"""Called in a revision's own transaction, before that is committed."""


Guard = Callable[[Connection, Session], DbopsError | None]
"""Called with a session before anything is done in it; says why nothing must be."""


class Rules(NamedTuple):
    """What dbops does to a session in which revisions are applied."""

    parameters: Sequence[Parameter]
    """What is set for the session, where env.py has not set it."""
    lock: Lock
    on_session: Prepare | None = None
    """Called once the lock is held, before the first revision."""
    on_applied: Applied | None = None
    schema: str | None = None
    """Which schema the session has to be in: that of a tenant."""
    guard: Guard | None = None


def step_in(
    environment: EnvironmentContext, run: Run, stop: Stop, rules: Rules | None
) -> None:
    """Take part in what env.py does with `environment`.

    Args:
        environment: Not entered yet.
        run: Filled on the way.
        stop: Asked before each statement.
        rules: How to treat the session; None only looks, and changes nothing.
    """
    configure, run_migrations = environment.configure, environment.run_migrations

    def configured(connection: Connection | None = None, **options: Any) -> None:  # noqa: ANN401 # Alembic's own
        stop.check()
        leg = Leg(version_table=_version_table(options))
        run.legs.append(leg)
        if connection is not None:
            if connection.dialect.name != "postgresql":
                raise run.refuse(_foreign(connection.dialect.name))
            leg.endpoint = _endpoint(connection)
            if not connection.dialect.is_async:
                leg.dispose = connection.engine.dispose
            if rules is not None:
                session = _prepared(connection, leg, run, stop, rules)
                watch(connection, leg, session, stop)
            options["on_version_apply"] = _callbacks(options, connection, leg, rules)
            leg.keeps_transactions = "transaction_per_migration" in options
            # Each revision commits by itself: a later failure leaves a version that
            # says exactly what was done.
            options.setdefault("transaction_per_migration", True)
        configure(connection, **options)

    def ran(**options: Any) -> None:  # noqa: ANN401 # Alembic's own
        context = environment.get_context()
        leg = run.leg
        leg.has_run = True
        if rules is None or context.connection is None:
            run_migrations(**options)
            return
        leg.is_one_transaction = context.connection.in_transaction()
        is_external = context._in_external_transaction  # noqa: SLF001 # Alembic tells it nowhere else
        if leg.is_one_transaction and not is_external and not leg.keeps_transactions:
            _in_one(context, lambda: run_migrations(**options))
        else:
            run_migrations(**options)
        leg.note_success()

    environment.configure = configured  # type: ignore[assignment, method-assign] # env.py calls it through Alembic's proxy
    environment.run_migrations = ran  # type: ignore[method-assign] # same


def _prepared(
    connection: Connection, leg: Leg, run: Run, stop: Stop, rules: Rules
) -> Session:
    """Look at the session, lock it, and give it what env.py has not given it."""
    session = Session(connection)
    stop.reaches(session.cancel)
    leg.pid, leg.database = session.pid, session.database
    leg.is_autocommit = session.is_autocommit
    refusal = rules.guard and rules.guard(connection, session)
    refusal = refusal or session.refusal(rules.schema)
    if refusal is not None:
        raise run.refuse(refusal)
    if "." not in leg.version_table:
        leg.version_table = f"{session.schema}.{leg.version_table}"
    session.set(rules.parameters)
    try:
        rules.lock.take(session, leg.version_table)
    except LockedError as error:
        raise run.refuse(error) from None
    finally:
        run.waited_s = rules.lock.waited_s
    give_back(connection, session, leg.version_table)
    if rules.on_session is not None:
        _with_own_transaction(connection, session, rules.on_session)
    return session


def _with_own_transaction(
    connection: Connection, session: Session, prepare: Prepare
) -> None:
    if session.is_in_transaction:
        with connection.engine.connect() as own:
            prepare(own)
    else:
        prepare(connection)


def _in_one(context: MigrationContext, run_migrations: Callable[[], None]) -> None:
    """Keep what env.py has begun: its SET LOCAL has to outlive each revision."""
    context._transaction_per_migration = False  # noqa: SLF001 # said to configure, too early
    with context.begin_transaction():
        run_migrations()


def _callbacks(
    options: dict[str, Any], connection: Connection, leg: Leg, rules: Rules | None
) -> tuple[Callable[..., None], ...]:
    theirs = options.get("on_version_apply") or ()
    callbacks = (theirs,) if callable(theirs) else tuple(theirs)

    def note(*, step: MigrationInfo, heads: Collection[str], **_: object) -> None:
        duration_ms = leg.note(step, heads)
        if rules is not None and rules.on_applied is not None:
            rules.on_applied(connection, leg, step, duration_ms)

    return (*callbacks, note)


def _foreign(dialect: str) -> DbopsError:
    return RefusedError(
        f"env.py connects to {dialect}: dbops migrates PostgreSQL alone",
        hint="check sqlalchemy.url, or what env.py takes its URL from",
        phase="session",
    )


def _version_table(options: Mapping[str, Any]) -> str:
    name = options.get("version_table") or "alembic_version"
    schema = options.get("version_table_schema")
    return f"{schema}.{name}" if schema else str(name)


def _endpoint(connection: Connection) -> Endpoint | None:
    """Say where env.py's engine leads; None where dbops has told the driver."""
    url = connection.engine.url.set(drivername="postgresql")
    if not (url.host or url.query):
        return None
    try:
        return parse_url(url.render_as_string(hide_password=False))
    except ConfigError:
        return Endpoint(addresses=(Address("the project's own database"),))

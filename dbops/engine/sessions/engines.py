"""The engines of one program: the writer's, the reader's, and one for each reader."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import immutabledict

from dbops.endpoint import Address, Role, SessionAttrs
from dbops.engine.connect import Connector, Connectors
from dbops.engine.faults.translate import sqlstate
from dbops.engine.pooled.adapted import silent
from dbops.engine.pooled.fair_pool import FairPool, PoolState, limit
from dbops.engine.pooled.made import engine_over
from dbops.engine.pooled.standing import ALONE, FOR_READING
from dbops.engine.sessions.guard import guarded
from dbops.errors import DbopsError, ReadOnlyError

Mode = Mapping[str, Any]
"""Execution options of SQLAlchemy."""

_IS_READ_ONLY = "postgresql_readonly"
_WRITING_LEVEL, _READING_LEVEL = "READ COMMITTED", "REPEATABLE READ"

# One snapshot for all statements of a transaction; and a write that was meant for the
# writer fails at once, also where writer and reader are the same server. (SERIALIZABLE
# is refused on a standby.)
READING: Mode = {
    "isolation_level": _READING_LEVEL,
    _IS_READ_ONLY: True,
    FOR_READING: True,
}
"""How a transaction begins on a writer that stands in for the reader."""

ONE_SNAPSHOT: Mode = {
    "isolation_level": _READING_LEVEL,
    FOR_READING: True,
    ALONE: False,
}
"""How a transaction begins on a reader."""

EACH_ALONE: Mode = {**ONE_SNAPSHOT, ALONE: True}
"""Each statement by itself, on a reader."""

AUTOCOMMIT: Mode = {"isolation_level": "AUTOCOMMIT", FOR_READING: False}
"""Each statement by itself: what we ask of either server, and of a pooler too."""

_READ_ONLY = "25006"


class Engines:
    """Makes each engine once; nothing connects before its first use.

    Args:
        connectors: How to connect.
    """

    def __init__(self, connectors: Connectors) -> None:
        self._connectors = connectors
        self._made: dict[Role | Address, AsyncEngine] = {}
        self._alone: AsyncEngine | None = None
        self._wishes: list[Callable[[AsyncEngine], object]] = []

    def each(self, wish: Callable[[AsyncEngine], object]) -> None:
        """Do something with each engine: those that are there, and those to come."""
        self._wishes.append(wish)
        for engine in self._made.values():
            wish(engine)

    def of(self, role: Role) -> AsyncEngine:
        """Return the engine of `role`.

        Raises:
            ConfigError: If nothing says where the endpoint is.
        """
        if role not in self._made:
            self._made[role] = self._new(self._connector(role))
        return self._made[role]

    def reading_alone(self) -> AsyncEngine:
        """Return the reader's engine, for statements that stand by themselves.

        Raises:
            ConfigError: If nothing says where the reader is.
        """
        if self._alone is None:
            self._alone = self.of("reader").execution_options(**{ALONE: True})
        return self._alone

    def at(self, address: Address, wanted: SessionAttrs = "any") -> AsyncEngine:
        """Return the engine of one of the reader's hosts.

        Args:
            address: Which host.
            wanted: Which role it has to have.

        Raises:
            ConfigError: If nothing says where the reader is.
        """
        if address not in self._made:
            self._made[address] = self._new(
                self._connector("reader").to(address, wanted)
            )
        return self._made[address]

    def state(self, engine: AsyncEngine) -> PoolState:
        """Return what the pool of an engine holds."""
        return _state(engine)

    def pool(self, role: Role) -> PoolState:
        """Return what the pools of `role` hold, those of its hosts together.

        Asking makes none: whether there are several hosts is known at the first use.
        """
        states = [
            _state(engine)
            for key, engine in self._made.items()
            if key == role or (role == "reader" and isinstance(key, Address))
        ]
        if not states:
            settings = self._connectors.settings
            most = limit(settings.pool_size, settings.max_overflow)
            return PoolState(in_use=0, idle=0, waiting=0, most=most)
        limits = [it.most for it in states]
        return PoolState(
            in_use=sum(it.in_use for it in states),
            idle=sum(it.idle for it in states),
            waiting=sum(it.waiting for it in states),
            most=None if None in limits else sum(it or 0 for it in limits),
        )

    async def dispose(self) -> None:
        """Close every pooled connection; the next use opens new ones."""
        engines, self._made, self._alone = self._made, {}, None
        # At once: each connection to a silent server takes its time to end.
        await asyncio.gather(*(engine.dispose() for engine in engines.values()))

    def _connector(self, role: Role) -> Connector:
        return self._connectors.connector(
            role, keeps_statements=True, is_url_followed=True
        )

    def _new(self, connector: Connector) -> AsyncEngine:
        settings, is_reader = self._connectors.settings, connector.role == "reader"
        recycle_s = settings.pool_recycle
        engine = engine_over(
            guarded(connector) if is_reader else connector,
            driver=connector.options.driver,
            isolation_level=_READING_LEVEL if is_reader else _WRITING_LEVEL,
            execution_options={FOR_READING: is_reader},
            poolclass=FairPool,
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=-1 if recycle_s is None else round(recycle_s),
            pool_pre_ping=True,
        )
        # What belongs to a connection is set once, and costs no session anything; and
        # an engine that has listeners itself makes each statement ask for all of them.
        dialect = engine.dialect
        assert isinstance(dialect, PGDialect)  # as `engine_over` has it  # noqa: S101
        event.listen(dialect, "handle_error", _judge)
        if is_reader:
            # After a session that asks for it, also to read only, SQLAlchemy would
            # leave a connection as one that may write.
            dialect.connection_characteristics = immutabledict(
                (name, its)
                for name, its in dialect.connection_characteristics.items()
                if name != _IS_READ_ONLY
            )

            @event.listens_for(engine.sync_engine, "connect")
            def _(connection: DBAPIConnection, _: object) -> None:
                dialect.set_readonly(connection, value=True)  # type: ignore[no-untyped-call] # SQLAlchemy's

        for wish in self._wishes:
            wish(engine)
        return engine


def _state(engine: AsyncEngine) -> PoolState:
    pool = engine.pool
    assert isinstance(pool, FairPool)  # as `_new` has it  # noqa: S101
    return pool.state


def _judge(failure: ExceptionContext) -> DbopsError | None:
    """Tell a write that was meant for the writer from a writer that is one no more.

    After a failover that keeps connections open, they lead to a standby.

    Returns:
        What to raise instead; raised here, it would keep the failure from whoever else
        listens. `ReadOnlyError` if the session was for reading; `UnreachableError` if
        there was no answer in time: the driver's own error of that is one of nobody in
        particular.
    """
    if isinstance(failure.original_exception, TimeoutError):
        return silent()
    if sqlstate(failure.original_exception) != _READ_ONLY:
        return None
    options = failure.connection.get_execution_options() if failure.connection else {}
    if options.get(FOR_READING):
        return ReadOnlyError()
    failure.is_disconnect = True
    return None

"""SQLAlchemy's dialect for psycopg 3, as exact as the one for asyncpg.

The same statements travel in the same round trips, with two differences of psycopg: a
statement that is new needs one round trip less, as it gets no name before it has been
used several times (then one more, once); and where a transaction that is rolled back
had given names, the server is told at once to forget all of them.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy.connectors.asyncio import AsyncAdapt_terminate
from sqlalchemy.dialects.postgresql.psycopg import (
    AsyncAdapt_psycopg_connection,
    AsyncAdapt_psycopg_cursor,
    AsyncAdapt_psycopg_ss_cursor,
    PGDialectAsync_psycopg,
    PGExecutionContext_psycopg,
    PsycopgAdaptDBAPI,
)
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.util import await_only
from typing_extensions import override

from dbops.engine.pooled.adapted import Adapted
from dbops.engine.pooled.standing import StandingContext


class _Begins(AsyncAdapt_psycopg_cursor):
    """A cursor whose transaction begins by the word of its adapter."""

    __slots__ = ()

    _adapt_connection: "AdaptedPsycopg"

    @override
    async def _execute_async(self, operation: Any, parameters: Any) -> Any:
        adapted, execute = self._adapt_connection, super()._execute_async
        await adapted.begin()

        async def say() -> Any:  # noqa: ANN401 # as the base
            self._follow()
            return await execute(operation, parameters)

        return await adapted.said(say)

    @override
    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> Any:
        await self._adapt_connection.begin()
        self._follow()
        return await super()._executemany_async(operation, seq_of_parameters)

    def _follow(self) -> None:
        """Go on with the connection that the adapter has now."""
        adapted = self._adapt_connection
        if self._connection is not adapted._connection:  # noqa: SLF001 # our own below
            self._connection = adapted._connection  # noqa: SLF001 # same
            self._cursor = self._make_new_cursor(self._connection)


class Cursor(_Begins):
    """A cursor whose rows come all at once."""

    __slots__ = ()


class StreamingCursor(_Begins, AsyncAdapt_psycopg_ss_cursor):
    """A cursor whose rows come as they are asked for."""

    __slots__ = ()


class AdaptedPsycopg(Adapted, AsyncAdapt_terminate, AsyncAdapt_psycopg_connection):
    """A pooled connection of psycopg.

    How a transaction begins is kept here, because the driver only ever hears the words.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the base's
        super().__init__(*args, **options)
        self._is_autocommit = False
        self._level: psycopg.IsolationLevel | None = None
        self._is_read_only: bool | None = None
        self._is_deferrable: bool | None = None

    @override
    def cursor(self, name: Any = None, /) -> Any:
        return StreamingCursor(self, name) if name else Cursor(self)

    @property  # type: ignore[explicit-override] # its setter has no such mark
    def autocommit(self) -> bool:
        """Whether each statement stands by itself."""
        return self._is_autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self.set_autocommit(value)

    @property
    @override
    def read_only(self) -> bool | None:
        return self._is_read_only

    @property
    @override
    def deferrable(self) -> bool | None:
        return self._is_deferrable

    @override
    def set_autocommit(self, value: bool) -> None:
        self.rollback()
        self._is_autocommit = value

    @override
    def set_isolation_level(self, value: psycopg.IsolationLevel | None) -> None:
        self.rollback()
        self._level = value

    @override
    def set_read_only(self, value: bool | None) -> None:
        self._is_read_only = value

    @override
    def set_deferrable(self, value: bool | None) -> None:
        self._is_deferrable = value

    @override
    def _has_begun(self) -> bool:
        return bool(
            self._connection.pgconn.transaction_status != TransactionStatus.IDLE
        )

    @override
    async def _say_begin(self) -> None:
        words = ["BEGIN"]
        if self._level is not None:
            words += ["ISOLATION LEVEL", self._level.name.replace("_", " ")]
        if self._is_read_only:  # else as the server would have it
            words.append("READ ONLY")
        if self._is_deferrable is not None:
            words.append("DEFERRABLE" if self._is_deferrable else "NOT DEFERRABLE")
        await self._connection.say(" ".join(words) + ";" + self.after_begin)

    @override
    async def _say_commit(self) -> str:
        self.has_said_commit = True
        says: str = await self._connection.say("COMMIT;")
        return says

    @override
    async def _say_nothing(self) -> object:
        return await self._connection.say("SELECT")

    @override
    def _forget(self) -> None:
        """Forget nothing: what has a name, the driver's connection knows itself."""

    @override
    async def _terminate_graceful_close(self) -> None:
        await self._connection.close()

    @override
    def _terminate_force_close(self) -> None:
        self._connection.terminate()


class Context(StandingContext, PGExecutionContext_psycopg):
    """One execution of a statement."""


class Driver(PsycopgAdaptDBAPI):
    """The driver, whose connections can be opened again."""

    @override
    def connect(self, *args: Any, **options: Any) -> AdaptedPsycopg:
        opener = options.pop("async_creator_fn")
        made = await_only(AdaptedPsycopg.create(self, opener()))
        made.opener = opener
        return made


class PsycopgDialect(PGDialectAsync_psycopg):
    """What `postgresql+dbops_psycopg` stands for."""

    supports_statement_cache = True
    has_terminate = True
    execution_ctx_cls = Context

    @classmethod
    @override
    def import_dbapi(cls) -> Any:
        return Driver(psycopg, ExecStatus)

    @classmethod
    @override
    def get_async_dialect_cls(cls, url: URL) -> type[Dialect]:
        return cls

    @override
    def on_connect(self) -> Callable[[AdaptedPsycopg], None]:
        prepare = super().on_connect()

        def adapt(connection: AdaptedPsycopg) -> None:
            connection.driver_connection.adapt_as(self._psycopg_adapters_map)
            prepare(connection)

        def connect(connection: AdaptedPsycopg) -> None:
            adapt(connection)
            connection.preparer = adapt

        return connect

    @override
    def do_ping(self, dbapi_connection: Any) -> bool:
        dbapi_connection.ping()
        return True

    @override
    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.terminate()

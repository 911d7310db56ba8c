"""SQLAlchemy's dialect for asyncpg, exact about a transaction's first and last word."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import (
    AsyncAdapt_asyncpg_connection,
    AsyncAdapt_asyncpg_cursor,
    AsyncAdapt_asyncpg_dbapi,
    PGDialect_asyncpg,
    PGExecutionContext_asyncpg,
)
from sqlalchemy.util import await_only
from typing_extensions import override

from dbops.engine.pooled.adapted import Adapted
from dbops.engine.pooled.standing import StandingContext


class Cursor(AsyncAdapt_asyncpg_cursor):
    """A cursor on whatever connection its adapter has now."""

    __slots__ = ()

    _adapt_connection: "AdaptedAsyncpg"

    @property  # type: ignore[explicit-override] # an attribute there
    def _connection(self) -> Any:  # noqa: ANN401 # the driver's
        return self._adapt_connection._connection  # noqa: SLF001 # our own below

    @_connection.setter
    def _connection(self, connection: object) -> None:
        """Let the base class set what is always looked up."""

    @override
    async def _prepare_and_execute(self, operation: Any, parameters: Any) -> None:
        say = super()._prepare_and_execute
        await self._adapt_connection.said(lambda: say(operation, parameters))


class AdaptedAsyncpg(Adapted, AsyncAdapt_asyncpg_connection):
    """A pooled connection of asyncpg."""

    _cursor_cls = Cursor

    @override
    def rollback(self) -> None:
        if self._execute_mutex.locked():
            # By a task that has outlived its session: nobody else may wait for it.
            await_only(self._connection.close())
        super().rollback()
        if not self.is_closed and self._connection.is_in_transaction():
            # Begun by a statement, so SQLAlchemy knows nothing of it.
            await_only(self._end_whatever_began())

    async def _end_whatever_began(self) -> None:
        try:
            await self._connection.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 # translated by the base
            self._handle_exception(error)

    @override
    async def _start_transaction(self) -> None:
        await self.begin()

    @override
    async def _say_begin(self) -> None:
        self._connection.after_begin = self.after_begin
        await super()._start_transaction()

    @override
    def _has_begun(self) -> bool:
        return self._transaction is not None

    @override
    async def _say_commit(self) -> str:
        assert self._transaction is not None  # it has begun  # noqa: S101
        count = self._connection.counter()
        before = count()
        try:
            await self._call_and_discard(self._transaction.commit)
        finally:
            self.has_said_commit = count() > before
        status: str = self._connection.last_status
        return status

    @override
    async def _say_nothing(self) -> object:
        return await self._connection.execute("SELECT")

    @override
    def _forget(self) -> None:
        if self._prepared_statement_cache is not None:
            self._prepared_statement_cache.clear()


class Context(StandingContext, PGExecutionContext_asyncpg):
    """One execution of a statement."""


class Driver(AsyncAdapt_asyncpg_dbapi):
    """The driver, whose connections can be opened again."""

    @override
    def connect(self, *args: Any, **options: Any) -> AdaptedAsyncpg:
        opener = options.pop("async_creator_fn")
        made = await_only(AdaptedAsyncpg.create(self, opener(*args), **options))
        made.opener = opener
        return made


class Dialect(PGDialect_asyncpg):
    """What `postgresql+dbops` stands for."""

    supports_statement_cache = True
    execution_ctx_cls = Context

    @classmethod
    @override
    def import_dbapi(cls) -> Any:
        return Driver(__import__("asyncpg"))

    @override
    def on_connect(self) -> Callable[[AdaptedAsyncpg], None]:
        prepare = super().on_connect()

        def connect(connection: AdaptedAsyncpg) -> None:
            prepare(connection)
            connection.preparer = prepare

        return connect

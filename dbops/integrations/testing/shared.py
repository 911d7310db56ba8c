"""Which database do the sessions of tests share?"""

from dbops.errors import UsageError
from dbops.integrations.testing.database import PairDatabase
from dbops.integrations.testing.databases import Databases
from dbops.integrations.testing.template import name_of
from dbops.settings import Settings


class Shared:
    """A copy of the template that nobody leaves anything in.

    Args:
        databases: Where it is made.
        template: What it is a copy of.
    """

    def __init__(self, databases: Databases, template: PairDatabase) -> None:
        self._databases, self._template = databases, template
        self._database: PairDatabase | None = None
        self._settings: Settings | None = None

    def settings(self) -> Settings:
        """Return what leads to it; it is made, where there is none.

        Raises:
            DbopsError: If the server cannot, or is gone.
        """
        if self._settings is None:
            template = name_of(self._template)
            self._database = self._databases.create("shared", template)
            self._settings = self._database.writer_settings(pool_size=1)
        return self._settings

    def expect_rollback(self, transaction: str) -> None:
        """Give the database up if a transaction was committed in it.

        Args:
            transaction: Its id.

        Raises:
            UsageError: If it was.
            DbopsError: If the server is gone.
        """
        if self._databases.has_committed(transaction):
            self.drop()
            raise UsageError(
                "the test has committed the transaction that dbops_session rolls back "
                "(the tests after it get a new database)",
                hint="commit by session.commit(), which ends a savepoint, and not by "
                "COMMIT or by its connection; or use dbops_database",
            )

    def drop(self) -> None:
        """Drop it, if there is one.

        Raises:
            DbopsError: If the server cannot.
        """
        database, self._database, self._settings = self._database, None, None
        if database is not None:
            self._databases.discard(database)

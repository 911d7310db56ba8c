"""Does a statement stand by itself, or within a transaction?"""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, ExecutionContext
from typing_extensions import override

from dbops.engine.pooled.adapted import Adapted

ALONE = "dbops_alone"
"""The execution option of statements that stand by themselves, and cannot write."""

FOR_READING = "dbops_for_reading"
"""The execution option of sessions that may not write, whatever else they ask for."""


class StandingContext(ExecutionContext):
    """Tells a connection how each statement stands; beside the class for its driver."""

    @override
    def pre_exec(self) -> None:
        super().pre_exec()
        adapted = self.root_connection.connection.dbapi_connection
        assert isinstance(adapted, Adapted)  # as our engines have it  # noqa: S101
        alone = self.execution_options.get(ALONE, False)
        if adapted.autocommit and self.execution_options.get(FOR_READING):
            adapted.refuse_unguarded()
        # The server keeps a cursor, and its rows come later, within a transaction.
        adapted.stand(alone=alone and not self._is_server_side)

    if TYPE_CHECKING:
        _is_server_side: bool


def speak(connection: Connection) -> None:
    """Say a connection's first word now; see `Adapted.speak`.

    Raises:
        DbopsError: If its server cannot be reached.
        DBAPIError: If it gives no answer.
    """
    adapted = connection.connection.dbapi_connection
    assert isinstance(adapted, Adapted)  # as our engines have it  # noqa: S101
    alone = connection.get_execution_options().get(ALONE, False)
    try:
        adapted.speak(alone=alone)
    except BaseException as error:  # noqa: BLE001 # as SQLAlchemy does around BEGIN
        connection._handle_dbapi_exception(error, None, None, None, None)  # noqa: SLF001 # and there is no public way

"""One connection to a server of ours."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dbops.endpoint import Endpoint

if TYPE_CHECKING:
    from dbops.engine.connect import Connection


@asynccontextmanager
async def session(endpoint: Endpoint) -> AsyncGenerator["Connection"]:
    """Connect for the block.

    Raises:
        DbopsError: The translation of whatever the driver raises.
    """
    # Loading the driver takes longer than most questions about a pair.
    from dbops.credentials import Credentials  # noqa: PLC0415 # see above
    from dbops.engine.connect import ConnectOptions, Connector  # noqa: PLC0415 # same

    options = ConnectOptions(application_name="dbops local")
    connector = Connector(Credentials.known(endpoint), options)
    async with connector.session() as connection:
        yield connection

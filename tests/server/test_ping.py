"""Ping, against a real writer and standby."""

from dbops.endpoint import Address
from dbops.operations.ping import ping
from dbops.results import Status
from tests.conftest import Served


async def test_writer_and_reader_answer_with_their_roles(served: Served) -> None:
    connectors = served.connectors()
    result = await ping(
        {
            "writer": connectors.connector("writer"),
            "reader": connectors.connector("reader"),
        }
    )
    writer, reader = result.endpoints
    assert result.status is Status.OK
    assert (writer.is_in_recovery, reader.is_in_recovery) == (False, True)
    assert writer.latency_ms is not None
    assert writer.latency_ms.auth is not None
    assert writer.latency_ms.total >= writer.latency_ms.auth > 0
    assert Address(reader.host or "", reader.port or 0) in served.reader.addresses

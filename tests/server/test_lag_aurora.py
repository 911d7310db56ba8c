"""How far behind a reader of Aurora is, by Aurora's own functions alone."""

from collections.abc import AsyncGenerator

import pytest

from dbops.endpoint import Endpoint
from dbops.errors import Outcome
from dbops.limits import Limit, Unit
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.lag import (
    Cause,
    Freshness,
    Lag,
    Pipeline,
    lag,
    lag_of_each,
)
from dbops.results import Status
from tests.server.aurora import REFUSED, aurora, followed, logged
from tests.server.standbys import ask, between, on

Places = tuple[Endpoint, Endpoint]
LIMITS: dict[Unit, Limit] = {"s": Limit(0.3, 0.8, "s"), "B": Limit(None, None, "B")}


@pytest.fixture(scope="module")
async def pair() -> AsyncGenerator[Pair]:
    async with throwaway() as pair:
        yield pair


@pytest.fixture
async def places(pair: Pair) -> AsyncGenerator[Places]:
    async with aurora(pair) as places:
        yield places
        said = logged(pair)
        assert "aurora_replica_status" in said
        assert [name for name in REFUSED if name in said] == []


async def changed(pair: Pair, places: Places, statement: str) -> None:
    # Not in the log that is searched for what was refused.
    async with on(places[0]) as writer:
        await writer.execute("SET log_statement = 'none'")
        await writer.execute(statement)
    await followed(pair)


async def asked(writer: Endpoint | None, reader: Endpoint, **options: bool) -> Lag:
    ways = between(writer, reader)
    primary = ways.connector("writer") if writer else None
    return await lag(primary, ways.connector("reader"), limits=LIMITS, **options)


async def asked_each(writer: Endpoint, reader: Endpoint) -> Lag:
    ways = between(writer, reader)
    return await lag_of_each(
        ways.connector("writer"), ways.connector("reader"), limits=LIMITS
    )


async def test_the_instance_that_answers_is_judged_by_its_own_row(
    places: Places,
) -> None:
    found = await asked(*places)
    assert (found.status, found.freshness, found.cause) == (
        Status.OK,
        Freshness.FRESH,
        None,
    )
    assert found.pipeline is Pipeline.NOT_APPLICABLE
    assert (found.lag_low_s, found.lag_high_s) == (0.021, 0.021)
    assert found.bytes_behind is None
    assert found.reader.instance == "db-2"
    assert found.writer is not None
    assert (found.writer.instance, found.writer.is_in_recovery) == ("db-1", False)


@pytest.mark.parametrize(("lag_ms", "status"), [(400, Status.WARN), (900, Status.FAIL)])
async def test_a_late_instance_is_behind(
    pair: Pair, places: Places, lag_ms: int, status: Status
) -> None:
    update = f"UPDATE instances SET lag_ms = {lag_ms}"  # noqa: S608 # a number
    await changed(pair, places, update)
    found = await asked(*places)
    assert (found.status, found.freshness) == (status, Freshness.APPLY_BEHIND)
    assert found.lag_low_s == lag_ms / 1000


async def test_a_lag_that_aurora_does_not_tell_is_unknown(
    pair: Pair, places: Places
) -> None:
    await changed(pair, places, "UPDATE instances SET lag_ms = NULL")
    found = await asked(*places)
    assert (found.status, found.lag_low_s) == (Status.UNKNOWN, None)
    assert found.outcome is Outcome.UNHEALTHY


async def test_without_a_replica_the_reader_endpoint_leads_to_the_writer(
    places: Places,
) -> None:
    found = await asked(places[0], places[0])
    assert (found.status, found.cause) == (Status.WARN, Cause.READER_IS_WRITER)
    assert found.lag_low_s is None
    required = await asked(places[0], places[0], require_replica=True)
    assert required.status is Status.FAIL


async def test_a_reader_instance_given_as_the_writer_fails(places: Places) -> None:
    found = await asked(places[1], places[1])
    assert (found.status, found.cause) == (Status.FAIL, Cause.WRITER_IS_STANDBY)


async def test_an_instance_that_the_writer_does_not_know_is_of_another_cluster(
    pair: Pair, places: Places
) -> None:
    await changed(
        pair,
        places,
        "DELETE FROM instances WHERE server_id = 'db-2'; "
        "ALTER TABLE instances RENAME TO listed; "
        "CREATE VIEW instances AS SELECT * FROM listed",
    )
    # And what does not even list itself is unknown.
    found = await asked(*places)
    assert found.status is Status.UNKNOWN


async def test_one_aurora_and_one_other_do_not_belong_together(
    pair: Pair, places: Places
) -> None:
    found = await asked(places[0], pair.reader)
    assert (found.status, found.cause) == (Status.FAIL, Cause.WRONG_CLUSTER)


async def test_each_instance_is_known_from_any(pair: Pair, places: Places) -> None:
    found = await asked_each(*places)
    assert found.status is Status.OK
    assert [it.reader.instance for it in found.readers] == ["db-2", "db-3"]
    high_s = found.readers[1].lag_high_s
    assert high_s is not None
    # What it said a moment ago may be that much more by now.
    assert 0.4 <= high_s < 0.8
    await changed(
        pair,
        places,
        "UPDATE instances SET age = '40 s' WHERE server_id = 'db-3'",
    )
    stale = await asked_each(*places)
    assert [it.status for it in stale.readers] == [Status.OK, Status.UNKNOWN]
    assert stale.status is Status.UNKNOWN


async def test_a_reader_alone_tells_its_lag_too(places: Places) -> None:
    found = await asked(None, places[1])
    assert (found.status, found.lag_low_s) == (Status.OK, 0.021)


async def test_a_probe_writes_nothing_on_aurora(places: Places) -> None:
    assert (await asked(*places, probe=True)).status is Status.OK


async def test_a_function_of_an_ordinary_user_makes_no_aurora(pair: Pair) -> None:
    await ask(
        pair.writer,
        "CREATE ROLE sly",
        "GRANT CREATE ON SCHEMA public TO sly",
        "SET ROLE sly",
        "CREATE FUNCTION public.aurora_version() RETURNS text RETURN 'x'",
        "CREATE FUNCTION public.aurora_replica_status() RETURNS text RETURN 1 / 0",
    )
    await followed(pair)
    found = await asked(pair.writer, pair.reader)
    assert (found.status, found.pipeline) == (Status.OK, Pipeline.STREAMING)

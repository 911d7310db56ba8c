"""The fleet's equation: its terms, its verdict, and the largest fleet that fits."""

from math import ceil
from typing import Any

import pytest

from dbops.errors import ConfigError, UsageError
from dbops.limits import Limit
from dbops.operations.pool.budget import Budget
from dbops.operations.pool.engines import engines
from dbops.operations.pool.fleet import fleet
from dbops.operations.pool.judge import Judge
from dbops.operations.pool.layout import Layout, budget
from dbops.operations.pool.pgbouncer import told
from dbops.operations.pool.term import Term
from dbops.operations.pool.thresholds import thresholds
from dbops.results import Status
from dbops.settings import Settings, load_settings

SECRET = "s3cr3t"


def said(*, reader: bool = True, **flags: object) -> Settings:
    places = {"database_url": "postgresql://w/d"}
    if reader:
        places["database_reader_url"] = "postgresql://r/d"
    return load_settings(flags={**places, **flags})


def judged(
    usable: int = 100,
    usable_reader: int | None = None,
    *,
    poolers: dict[str, Term] | None = None,
    clients: int | None = None,
    is_one_server: bool = False,
    **flags: object,
) -> Budget:
    settings = said(reader=usable_reader is not None or is_one_server, **flags)
    room = {"writer": usable, "reader": usable_reader, "pgbouncer": clients}
    layout = Layout(
        engines(settings),
        {side: it for side, it in room.items() if it is not None},  # type: ignore[misc] # sides
        poolers or {},  # type: ignore[arg-type] # roles
        is_one_server=is_one_server,
    )
    limit = thresholds(settings.warn, settings.fail)
    return budget(layout, Judge(fleet(settings), limit))


def terms(found: Budget) -> dict[str, int | None]:
    return {it.name: it.connections for it in found.terms}


def test_every_term_of_a_fleet_is_visible() -> None:
    found = judged(2000, replicas="20", surge="25%", workers="4", job_processes="3")
    assert terms(found) == {
        "service": 25 * 4 * 15,
        "jobs": 3 * 15,
        "migrations": 2,
        "monitoring": 2,
        "humans": 5,
    }
    assert found.demand == 1554
    assert all(it.why for it in found.terms)


def test_an_equation_can_be_calculated() -> None:
    cases: tuple[dict[str, Any], ...] = (
        {"replicas": "20", "surge": "25%", "workers": "4", "job_processes": "3"},
        {"replicas": "7", "surge": "33.3%"},
        {"replicas": "7", "surge": "2", "pool_size": "3", "max_overflow": "0"},
        {"replicas": "7", "readers": "3"},
        {},
    )
    for flags in cases:
        found = judged(5000, 5000, **flags)
        assert found.reader is not None
        for side in (found, found.reader):
            left, _, right = side.equation.rpartition(" = ")
            assert eval(left, {"ceil": ceil}) == int(right) == side.demand  # noqa: S307 # ours


@pytest.mark.parametrize(
    "surge", ["0%", "1%", "25%", "33.3%", "100%", "250%", "0", "7"]
)
@pytest.mark.parametrize("usable", [8, 9, 40, 97, 498])
def test_the_largest_fleet_fits_and_one_more_does_not(surge: str, usable: int) -> None:
    def fits(replicas: int) -> bool:
        return judged(
            usable, replicas=str(replicas), surge=surge, workers="2", pool_size="2",
            max_overflow="1", job_processes="1",
        ).fits  # fmt: skip

    most = judged(
        usable, replicas="3", surge=surge, workers="2", pool_size="2",
        max_overflow="1", job_processes="1",
    ).max_replicas  # fmt: skip
    assert most is not None
    assert most == 0 or fits(most)
    assert not fits(most + 1)


def test_the_verdict_turns_at_85_and_above_100_percent() -> None:
    # One replica and the constants: pool_size + 9.
    for size, status in ((76, "ok"), (77, "warn"), (91, "warn"), (92, "fail")):
        found = judged(
            100, replicas="1", surge="0", pool_size=str(size), max_overflow="0"
        )
        assert (found.demand, found.status) == (size + 9, Status(status))
        assert found.fits == (status != "fail")


def test_the_user_moves_the_verdict() -> None:
    alone: dict[str, Any] = {
        "replicas": "1",
        "surge": "0",
        "pool_size": "41",
        "max_overflow": "0",
    }
    assert judged(100, **alone).status is Status.OK
    assert judged(100, warn=("49%",), **alone).status is Status.WARN
    assert judged(100, warn=("50%",), **alone).status is Status.OK
    found = judged(100, fail=("49%",), **alone)
    assert (found.status, found.fits) == (Status.FAIL, False)
    assert "49%" in (found.reason or "")
    with pytest.raises(UsageError, match="unit"):
        judged(100, warn=("5s",), **alone)
    with pytest.raises(UsageError, match="after"):
        judged(100, warn=("90%",), fail=("80%",), **alone)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"pool_size": "0"}, "pool_size=0"),
        ({"max_overflow": "-1"}, "max_overflow=-1"),
        ({"pool_class": "NullPool"}, "NullPool"),
    ],
)
def test_what_has_no_limit_never_fits(flags: dict[str, Any], why: str) -> None:
    for replicas, status in ((None, Status.WARN), ("1", Status.FAIL)):
        found = judged(10**6, 10**6, replicas=replicas, **flags)
        assert (found.status, found.fits, found.demand) == (status, False, None)
        assert (found.max_replicas, found.bound_by) == (None, None)
        assert why in (found.reason or "")
        assert all(not it.fits for it in found.what_ifs)


def test_the_smaller_server_decides() -> None:
    found = judged(1000, 60, replicas="4", surge="0")
    assert found.reader is not None
    assert (found.fits, found.bound_by, found.max_replicas) == (False, "reader", 3)
    assert (found.demand, found.reader.demand) == (69, 67)
    assert "the reader would get 67 of 60" in (found.reason or "")


def test_pools_of_a_reader_that_is_the_writer_add_up() -> None:
    found = judged(200, is_one_server=True, replicas="4", surge="0")
    assert (found.reader, found.demand) == (None, 4 * 30 + 9)


def test_what_may_happen_is_told_and_does_not_decide() -> None:
    found = judged(100, 99, replicas="4", surge="1")
    assert found.status is Status.OK
    by_name = {(it.name.partition(":")[0], it.side): it for it in found.what_ifs}
    assert by_name["between deploys", "writer"].demand == 4 * 15 + 9
    assert by_name["rolling deploy", "writer"].demand == found.demand == 5 * 15 + 9
    assert by_name["deploy beside all old pods", "reader"].demand == 8 * 15 + 7
    assert not by_name["deploy beside all old pods", "reader"].fits
    # The reader may be the one that is left.
    failover = by_name["failover", "writer"]
    assert (failover.demand, failover.usable, failover.fits) == (159, 99, False)


def test_several_readers_share_until_one_is_missing() -> None:
    found = judged(100, 70, replicas="8", surge="0", readers="3")
    assert found.reader is not None
    assert found.reader.demand == 8 * 15 / 3 + 7
    fewer = next(it for it in found.what_ifs if it.name.endswith("one reader fewer"))
    assert (fewer.side, fewer.demand, fewer.fits) == ("reader", 8 * 15 / 2 + 7, True)


def test_a_pooler_stands_in_for_the_service() -> None:
    pooler = Term(name="pgbouncer", connections=40, how="2 * 20", why="said")
    found = judged(
        100, poolers={"writer": pooler}, clients=200, replicas="20", job_processes="2"
    )
    assert terms(found) == {
        "pgbouncer": 40, "migrations": 2, "monitoring": 2, "humans": 5
    }  # fmt: skip
    assert found.pgbouncer is not None
    # Its clients: 25 pods and 2 jobs.
    assert (found.pgbouncer.demand, found.pgbouncer.usable) == (27 * 15, 200)
    assert (found.fits, found.bound_by) == (False, "pgbouncer")
    unknown = judged(100, poolers={"writer": pooler}, replicas="20")
    assert (unknown.fits, unknown.max_replicas) == (True, None)
    assert "whatever the replicas" in (unknown.reason or "")


@pytest.mark.parametrize("surge", ["5s", "1.5", "10%,2", "16MB"])
def test_a_surge_is_a_share_or_a_number(surge: str) -> None:
    with pytest.raises(UsageError, match="--surge"):
        fleet(said(replicas="3", surge=surge))


def test_pgbouncer_is_a_number_or_a_console() -> None:
    assert told(said()) is None
    for text, processes, size in (("20", None, 20), ("3x20", 3, 20)):
        found = told(said(pgbouncer=text))
        assert found is not None
        assert (found.processes, found.pool_size, found.console) == (
            processes, size, None,
        )  # fmt: skip
    url = f"postgresql://u:{SECRET}@h/pgbouncer"
    found = told(said(pgbouncer=f"4x{url}"))
    assert found is not None
    assert found.console is not None
    assert (found.processes, found.console.addresses[0].port) == (4, 6432)
    assert found.is_password_shown


@pytest.mark.parametrize(
    "text",
    [
        "0", "0x5", "x5", "5x", "-3", "2.5", "many",
        f"http://u:{SECRET}@h/pgbouncer",
        f"postgresql://u:{SECRET}@h/shop",
        f"postgresql://u:{SECRET}@/pgbouncer",
        f"postgresql://u:{SECRET}@h:port/pgbouncer",
        f"{SECRET}",
    ],
)  # fmt: skip
def test_what_is_neither_is_refused_without_being_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        told(said(pgbouncer=text))
    monkeypatch.setenv("DBOPS_PGBOUNCER", text)
    with pytest.raises(ConfigError) as from_environment:
        told(load_settings(flags={}))
    for error in (caught.value, from_environment.value):
        assert SECRET not in f"{error.message}{error.hint}"
        assert error.hint
    assert "DBOPS_PGBOUNCER from" in from_environment.value.message


def test_the_console_takes_what_its_url_lacks_from_the_parts() -> None:
    found = told(
        said(pgbouncer="postgresql://h:6000/pgbouncer", db_user="u", db_password=SECRET)
    )
    assert found is not None
    assert found.console is not None
    assert found.console.user == "u"
    assert found.console.password is not None
    assert found.console.password.get_secret_value() == SECRET
    assert not found.is_password_shown
    other = told(
        said(
            pgbouncer="postgresql://else@h:6000/pgbouncer",
            db_user="u",
            db_password=SECRET,
        )
    )
    assert other is not None
    assert other.console is not None
    assert other.console.password is not None
    assert Limit(85, 100, "%") == thresholds((), ())

"""Do the servers answer, and are they who they should be? Each illness has a twin."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import date
from time import time

import pytest
from pydantic import SecretStr

from dbops.endpoint import Address, Endpoint
from dbops.engine import round_trip
from dbops.engine.connect import Connectors
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis, doctor
from dbops.operations.doctor.answer import Severity
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.checks import d06_encryption, d08_versions
from dbops.operations.doctor.choices import choices
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql
from tests.faults.proxy import impostor, plain_then, server_error
from tests.server.doctored import (
    about,
    configured,
    diagnosed,
    leading_to,
    make_roles,
    session,
    until_true,
)

OURS = [f"D0{number}" for number in range(1, 9)]


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def ours(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """A pair of our own, on 18 and on the system's own version."""
    pg_bin = installed_postgresql() if request.param == "installed" else None
    # Pairs that are copied from one template have one identifier.
    async with throwaway(pg_bin=pg_bin, template=False) as pair:
        await make_roles(pair)
        yield pair


def between(
    writer: Endpoint, reader: Endpoint | None = None, **flags: object
) -> Connectors:
    urls = {"database_url": writer.url(show_password=True)}
    if reader is not None:
        urls["database_reader_url"] = reader.url(show_password=True)
    return Connectors(load_settings(flags={**urls, "interval": 0.05, **flags}))


def nowhere(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, addresses=(Address("127.0.0.1", 1),))


@pytest.mark.parametrize("user", [None, "monitor", "plain"])
async def test_a_healthy_pair_has_no_findings(ours: Pair, user: str | None) -> None:
    found = await doctor(
        leading_to(ours, user=user), choices(catalogue(), only=OURS, skip=["D05"])
    )
    checks = [it for it in found.checks if it.id in OURS and it.applies]
    assert [it.id for it in checks] == [it for it in OURS if it != "D05"]
    assert [(it.status, it.findings) for it in checks] == [(Status.OK, ())] * 7


async def test_a_slow_answer_is_told_with_its_phases(ours: Pair) -> None:
    found = await diagnosed(leading_to(ours), "D01", value="1ms,1m")
    assert found.status is Status.WARN
    slow = about(found, "reader")
    assert all(phase in slow.message for phase in ("connect", "auth", "query"))
    assert slow.remedy


async def test_a_server_without_an_answer_fails_and_is_not_called_full(
    ours: Pair,
) -> None:
    silent = between(ours.writer, nowhere(ours.reader))
    down = about(await diagnosed(silent, "D01"), "reader")
    assert down.severity is Severity.FAIL
    assert "nothing listens on 127.0.0.1:1" in down.message
    assert (await diagnosed(silent, "D02")).findings == ()
    assert (await diagnosed(silent, "D03")).status is Status.UNKNOWN
    assert (await diagnosed(silent, "D04")).status is Status.UNKNOWN
    assert (await diagnosed(silent, "D08")).status is Status.OK


async def test_a_full_server_is_told_from_one_that_is_down(ours: Pair) -> None:
    async with session(ours.writer) as writer:
        await writer.execute("ALTER ROLE plain CONNECTION LIMIT 0")
        try:
            found = await diagnosed(between(_as(ours.writer, "plain")), "D02")
        finally:
            await writer.execute("ALTER ROLE plain CONNECTION LIMIT -1")
    assert found.status is Status.FAIL
    assert "full" in about(found, "writer").message


async def test_a_server_that_starts_is_a_warning(ours: Pair) -> None:
    starting = plain_then(server_error("57P03", "the database system is starting up"))
    async with impostor(starting) as address:
        there = replace(ours.writer, addresses=(address,), sslmode="disable")
        found = await diagnosed(between(there), "D02")
    assert found.status is Status.WARN
    assert "starting" in about(found, "writer").message


async def test_a_standby_given_as_the_writer_fails(ours: Pair) -> None:
    found = await diagnosed(between(ours.reader, ours.reader), "D03")
    assert [(it.object, it.severity) for it in found.findings] == [
        ("writer", Severity.FAIL)
    ]


async def test_a_reader_that_is_the_writer_warns_and_fails_where_one_is_required(
    ours: Pair,
) -> None:
    found = await diagnosed(between(ours.writer, ours.writer), "D03")
    assert (found.status, len(found.findings)) == (Status.WARN, 1)
    assert "the reader is the writer" in about(found, "reader").message
    required = between(ours.writer, ours.writer, require_replica=True)
    assert (await diagnosed(required, "D03")).status is Status.FAIL
    same = await diagnosed(between(ours.writer, ours.writer), "D04")
    assert same.status is Status.OK


async def test_a_writer_that_refuses_writes_fails_and_a_careful_role_does_not(
    ours: Pair,
) -> None:
    async with configured(ours.writer, default_transaction_read_only="on"):
        async with session(ours.writer) as writer:
            await until_true(
                writer, "SELECT current_setting('default_transaction_read_only')::bool"
            )
        found = await diagnosed(between(ours.writer), "D03")
    assert found.status is Status.FAIL
    assert "ALTER SYSTEM RESET" in (about(found, "writer").remedy or "")
    async with session(ours.writer) as writer:
        await writer.execute("ALTER ROLE plain SET default_transaction_read_only = on")
        try:
            careful = await diagnosed(between(_as(ours.writer, "plain")), "D03")
        finally:
            await writer.execute("ALTER ROLE plain RESET ALL")
    assert (careful.status, careful.findings) == (Status.OK, ())
    assert "is on for plain" in careful.notes[0]


async def test_a_reader_of_another_cluster_fails(ours: Pair, pair: Pair) -> None:
    foreign = between(ours.writer, pair.reader)
    assert (await diagnosed(foreign, "D03")).status is Status.OK
    found = await diagnosed(foreign, "D04")
    assert found.status is Status.FAIL
    assert "different clusters" in found.summary


async def test_a_promoted_reader_is_a_second_primary_on_a_new_timeline() -> None:
    async with throwaway() as pair:
        async with session(pair.reader) as reader:
            await reader.execute("SELECT pg_promote()")
        both = between(pair.writer, pair.reader)
        roles, timeline = await diagnosed(both, "D03"), await diagnosed(both, "D04")
        lonely = await diagnosed(between(pair.reader), "D03")
    assert roles.status is Status.FAIL
    assert "another server" in about(roles, "reader").message
    assert timeline.status is Status.FAIL
    assert "timeline 2" in about(timeline, "reader").message
    assert lonely.status is Status.OK


async def test_who_may_not_know_the_cluster_does_not_call_it_the_same(
    ours: Pair,
) -> None:
    function = "pg_catalog.pg_control_system()"
    async with session(ours.writer) as writer:
        await writer.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        try:
            found = await diagnosed(leading_to(ours, user="plain"), "D04")
        finally:
            await writer.execute(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC")
    assert found.status is Status.UNKNOWN
    assert f"GRANT EXECUTE ON FUNCTION {function} TO plain" in (found.requires or "")


async def test_a_role_that_is_shown_less_is_told_what_it_misses(ours: Pair) -> None:
    found = await diagnosed(leading_to(ours, user="plain"), "D05")
    assert found.status is Status.WARN
    blind = about_role(found, "pg_read_all_stats")
    assert "D20" in blind
    assert found.requires is not None
    assert "GRANT pg_monitor TO plain" in found.requires
    for user in (None, "monitor"):
        seeing = await diagnosed(leading_to(ours, user=user), "D05")
        assert (seeing.status, seeing.findings) == (Status.OK, ())


def about_role(found: Diagnosis, role: str) -> str:
    return next(it.message for it in found.findings if it.object == f"plain: {role}")


async def test_plain_text_warns_where_it_leaves_the_machine(
    ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await diagnosed(leading_to(ours), "D06")
    assert (here.status, here.findings) == (Status.OK, ())
    monkeypatch.setattr(d06_encryption, "_is_local", lambda _: False)
    there = await diagnosed(leading_to(ours), "D06")
    assert there.status is Status.WARN
    assert "plain text" in about(there, str(ours.writer.addresses[0])).message


@pytest.mark.parametrize(
    ("off_s", "status", "whose"),
    [
        (0.2, Status.OK, ""),
        (-3, Status.WARN, "ahead of"),
        (3, Status.WARN, "behind"),
        (20, Status.FAIL, "behind"),
    ],
)
async def test_clocks_that_differ_are_told(
    ours: Pair,
    monkeypatch: pytest.MonkeyPatch,
    off_s: float,
    status: Status,
    whose: str,
) -> None:
    monkeypatch.setattr(round_trip, "time", lambda: time() + off_s)
    found = await diagnosed(leading_to(ours), "D07")
    assert found.status is status
    assert all(whose in it.message for it in found.findings)


async def test_a_round_trip_that_is_too_long_to_tell_is_unknown(
    ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(range(1000))
    monkeypatch.setattr(round_trip, "perf_counter", lambda: 3.0 * next(looks))
    found = await diagnosed(between(ours.writer), "D07")
    assert found.status is Status.UNKNOWN
    assert "too long to tell" in found.summary


async def test_a_version_without_fixes_warns_and_an_unknown_new_one_does_not(
    ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(ours.writer) as writer:
        major = writer.get_server_version().major
    monkeypatch.setattr(d08_versions, "END_OF_LIFE", {major: date(2020, 1, 1)})
    ended = await diagnosed(leading_to(ours), "D08")
    assert ended.status is Status.WARN
    assert "since 2020-01-01" in about(ended, f"PostgreSQL {major}").message
    monkeypatch.setattr(d08_versions, "END_OF_LIFE", {major - 1: date(2020, 1, 1)})
    assert (await diagnosed(leading_to(ours), "D08")).status is Status.OK
    monkeypatch.setattr(d08_versions, "END_OF_LIFE", {major + 1: date(2040, 1, 1)})
    assert (await diagnosed(leading_to(ours), "D08")).status is Status.WARN


async def test_servers_of_two_major_versions_warn(ours: Pair, pair: Pair) -> None:
    found = await diagnosed(between(ours.writer, pair.reader), "D08")
    is_same = ours.server_version.split(".")[0] == pair.server_version.split(".")[0]
    assert found.status is (Status.OK if is_same else Status.WARN)
    assert is_same or "major versions differ" in about(found, "reader").message


def _as(endpoint: Endpoint, user: str) -> Endpoint:
    return replace(endpoint, user=user, password=SecretStr(user))

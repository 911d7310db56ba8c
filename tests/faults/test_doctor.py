"""The doctor where servers die, freeze, lock, deceive, or sit behind a pooler."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from importlib import import_module

import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.errors import Outcome
from dbops.local.state import Pair
from dbops.operations.doctor import Doctor, doctor
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.check import ClusterCheck, Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import Served, new_name, until_reachable
from tests.faults.proxy import proxy, unanswered
from tests.faults.test_pgbouncer import running
from tests.server.doctored import session

# What no test waits for: who ought to give up earlier must not pass by luck.
FAR_S = 60.0
QUICK_S = 0.3


def asking(
    writer: Endpoint, reader: Endpoint | None = None, **flags: object
) -> Connectors:
    place = {"database_url": writer.url(show_password=True)}
    if reader is not None:
        place["database_reader_url"] = reader.url(show_password=True)
    return Connectors(load_settings(flags={**place, "interval": QUICK_S, **flags}))


def statuses(answer: Doctor) -> dict[str, Status]:
    """Return the verdicts; no check may have stumbled."""
    said = [found for check in answer.checks for found in check.findings]
    assert not [it.message for it in said if "bug in dbops" in it.message]
    assert sum(answer.counts.values()) == len(answer.checks)
    return {it.id: it.status for it in answer.checks if it.applies}


class Gate:
    """A check that stands between its two questions until it is told to go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.question = "SELECT 2 AS n"

    async def stops(self, doctor: asyncio.Task[Doctor]) -> None:
        """Wait until the doctor stands here; it may not end before."""
        async with asyncio.timeout(FAR_S):
            while not self.reached.is_set():
                assert not doctor.done(), doctor.result()
                await asyncio.sleep(0.01)

    async def find(self, server: Server, _limits: Limits) -> Found:
        await server.rows("SELECT 1 AS n")
        self.reached.set()
        await self.opened.wait()
        await server.rows(self.question)
        return Found("both were answered")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Add the gate to the doctor's checks."""
    made = Gate()
    check = ServerCheck(
        id="D99", title="gate", question="Is it open?", on="writer", find=made.find
    )

    def checks() -> tuple[ServerCheck | ClusterCheck, ...]:
        return (*catalogue(), check)

    # The package has a function of the same name.
    module = import_module("dbops.operations.doctor.doctor")
    monkeypatch.setattr(module, "catalogue", checks)
    return made


@pytest.mark.parametrize("answers", [20, 60, 200])
async def test_a_writer_that_freezes_leaves_unknowns_and_the_readers_answers(
    served: Served, answers: int
) -> None:
    async with proxy(served.writer, answers=answers) as between:
        connectors = asking(between.before(served.writer), served.reader, timeout=3.0)
        async with asyncio.timeout(3.0):
            answer = await doctor(connectors)
    assert answer.outcome is Outcome.UNREACHABLE
    seen = statuses(answer)
    assert list(seen.values()).count(Status.UNKNOWN) > 5
    restart = next(it for it in answer.checks if it.id == "D42")
    assert "reader: it has been running" in restart.summary


async def test_a_silent_server_is_waited_for_once_and_not_by_each_check(
    served: Served, gate: Gate
) -> None:
    async with proxy(served.writer) as between:
        connectors = asking(between.before(served.writer), command_timeout=1.0)
        task = asyncio.create_task(doctor(connectors))
        await gate.stops(task)
        between.freeze()
        gate.opened.set()
        async with asyncio.timeout(10):
            answer = await task
    assert statuses(answer)["D99"] is Status.UNKNOWN
    assert answer.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("how", ["cut", "terminated"])
async def test_a_server_that_dies_leaves_every_check_answered_or_unknown(
    served: Served, gate: Gate, how: str
) -> None:
    name = new_name("doctor")
    async with proxy(served.writer) as between, session(served.writer) as admin:
        connectors = asking(
            between.before(served.writer), served.reader, application_name=name
        )
        task = asyncio.create_task(doctor(connectors))
        await gate.stops(task)
        if how == "cut":
            between.cut()
        else:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = $1",
                name,
            )
        gate.opened.set()
        async with asyncio.timeout(FAR_S):
            answer = await task
    assert statuses(answer)["D99"] is Status.UNKNOWN
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.problem is not None
    assert answer.problem.message.isprintable()


async def test_a_time_out_ends_in_an_answer(served: Served, gate: Gate) -> None:
    async with asyncio.timeout(2.0):
        answer = await doctor(asking(served.writer, timeout=2.0))
    seen = statuses(answer)
    assert seen["D99"] is Status.UNKNOWN
    assert seen["D42"] is Status.OK
    late = answer.checks[-1]
    assert "time" in late.findings[0].message
    assert "--timeout" in (late.requires or "")
    assert answer.outcome is Outcome.UNREACHABLE


async def test_a_writer_that_cannot_be_reached_leaves_time_for_the_reader(
    served: Served,
) -> None:
    async with unanswered() as nowhere, asyncio.timeout(3.0):
        writer = replace(served.writer, addresses=(nowhere,))
        answer = await doctor(asking(writer, served.reader, timeout=3.0))
    assert answer.outcome is Outcome.UNREACHABLE
    assert answer.problem is not None
    assert "(connect)" in answer.problem.message
    statuses(answer)
    restart = next(it for it in answer.checks if it.id == "D42")
    assert "reader: it has been running" in restart.summary


async def test_a_locked_table_is_waited_for_no_longer_than_lock_timeout(
    served: Served, gate: Gate
) -> None:
    """Whoever needs the table says so; nobody stands in the queue behind its lock."""
    gate.question = "SELECT count(*) FROM public.held"
    gate.opened.set()
    async with session(served.writer) as holder, session(served.writer) as witness:
        await holder.execute(
            "CREATE TABLE held (id serial PRIMARY KEY, other int); "
            "CREATE INDEX ON held (other); CREATE INDEX ON held (other); "
            "ANALYZE held"
        )
        await holder.execute("BEGIN; DROP TABLE held")
        task = asyncio.create_task(doctor(asking(served.writer, interval=1.0)))
        longest = 0.0
        while not task.done():
            waited = await witness.fetchval(
                "SELECT extract(epoch FROM max(clock_timestamp() - waitstart))::float8"
                " FROM pg_locks WHERE NOT granted"
            )
            longest = max(longest, waited or 0.0)
            await asyncio.sleep(0.01)
        answer = await task
    # The server's own 100 ms, and how late it notices on a busy machine.
    assert longest < 1.0
    assert answer.problem is None
    unseen = [it for it in answer.checks if it.status is Status.UNKNOWN]
    assert "D99" in {it.id for it in unseen}
    for check in unseen:
        messages = [it.message for it in check.findings]
        assert all("lock" in it for it in messages), check
    statuses(answer)


@pytest.fixture(scope="module")
async def pooler(pair: Pair) -> AsyncGenerator[Endpoint]:
    """PgBouncer in transaction mode before the writer, with two sessions behind it."""
    with running(pair.writer) as endpoint:
        await until_reachable(endpoint, limit_s=10)
        yield endpoint


async def test_several_doctors_behind_a_transaction_pooler_leave_nothing_behind(
    served: Served, pooler: Endpoint
) -> None:
    there = pooler.with_database(served.name)
    direct = await doctor(asking(served.writer))
    answers = await asyncio.gather(*(doctor(asking(there)) for _ in range(3)))
    differing = {"D01", "D06"}  # they look at the connection itself
    wanted = {k: v for k, v in statuses(direct).items() if k not in differing}
    for answer in answers:
        assert answer.problem is None
        found = {k: v for k, v in statuses(answer).items() if k not in differing}
        assert found == wanted
    settings = (
        "SELECT name || '=' || setting FROM pg_settings WHERE name IN"
        " ('search_path', 'statement_timeout', 'lock_timeout', 'jit',"
        " 'standard_conforming_strings', 'transaction_read_only') ORDER BY name"
    )
    async with session(served.writer) as plain:
        fresh = [row[0] for row in await plain.fetch(settings)]
    for _ in range(4):
        async with session(there) as client:
            assert [row[0] for row in await client.fetch(settings)] == fresh
            names = await client.fetchval("SELECT count(*) FROM pg_prepared_statements")
            assert names <= 1  # the question itself
            await client.execute("CREATE TEMP TABLE t (n int) ON COMMIT DROP")


HOSTILE = """
    CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{role}';
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE FUNCTION evil.quote_ident(text) RETURNS text LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE FUNCTION evil.count(int) RETURNS int LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE FUNCTION evil.format(text, text, text) RETURNS text LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE FUNCTION evil.same(text, text) RETURNS bool LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE OPERATOR evil.= (FUNCTION = evil.same, LEFTARG = text, RIGHTARG = text);
    CREATE FUNCTION evil.name_same(name, name) RETURNS bool LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'taken in'; END $$;
    CREATE OPERATOR evil.= (FUNCTION = evil.name_same, LEFTARG = name, RIGHTARG = name);
    CREATE TABLE evil.pg_stat_activity (pid int);
    CREATE TABLE evil.pg_class (relname int);
    CREATE TABLE evil.pg_settings (name text, setting text);
    ALTER ROLE {role} SET search_path = evil, pg_catalog;
    ALTER ROLE {role} SET standard_conforming_strings = off;
    ALTER ROLE {role} SET default_transaction_isolation = serializable;
    ALTER ROLE {role} SET quote_all_identifiers = on;
"""


async def test_a_hostile_search_path_deceives_no_check(served: Served) -> None:
    role = new_name("hostile")
    plain = await doctor(asking(served.writer))
    async with session(served.writer) as admin:
        await admin.execute(HOSTILE.format(role=role))
        try:
            attacked = replace(served.writer, user=role, password=SecretStr(role))
            answer = await doctor(asking(attacked))
        finally:
            await admin.execute(f"DROP SCHEMA evil CASCADE; DROP ROLE {role}")
    assert "taken in" not in answer.model_dump_json()
    assert statuses(answer) == statuses(plain)

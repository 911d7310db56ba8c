"""The doctor as a whole: whom it asks, what it may see, and that health is clean."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.errors import Outcome
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.doctor import Diagnosis, Doctor, doctor
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.ask import ask
from dbops.operations.doctor.catalogue import catalogue
from dbops.operations.doctor.check import (
    Found,
    Limits,
    NotApplicableError,
    ServerCheck,
    UndecidedError,
)
from dbops.operations.doctor.choices import Choices, choices
from dbops.operations.doctor.diagnose import diagnose
from dbops.operations.doctor.reach import reached
from dbops.operations.doctor.servers import Server
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import Served, installed_postgresql, new_name, until_reachable
from tests.server.doctored import session, until_true

# Has to be there from the beginning for a table that nobody has analyzed, and so on.
ORDINARY = """
    CREATE TABLE authors (id bigserial PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE books (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        author_id bigint NOT NULL REFERENCES authors,
        title text NOT NULL CHECK (title <> ''),
        published date
    );
    CREATE INDEX books_author ON books (author_id);
    CREATE INDEX books_title ON books (lower(title));
    CREATE TABLE visits (at timestamptz NOT NULL, book_id int) PARTITION BY RANGE (at);
    CREATE TABLE visits_2026 PARTITION OF visits
        FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE INDEX ON visits (at);
    CREATE VIEW titles AS SELECT title FROM books;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM books;
    INSERT INTO authors (name) SELECT 'author ' || n FROM generate_series(1, 500) n;
    INSERT INTO books (author_id, title, published)
        SELECT 1 + n % 500, 'title ' || n, '2026-01-01' FROM generate_series(1, 5000) n;
    INSERT INTO visits SELECT '2026-03-01'::timestamptz + n * interval '1 minute', n
        FROM generate_series(1, 5000) n;
    UPDATE books SET published = '2026-02-02' WHERE id % 50 = 0;
"""


def to(
    writer: Endpoint | None, reader: Endpoint | None = None, **flags: object
) -> Connectors:
    place = {
        name: endpoint.url(show_password=True)
        for name, endpoint in (
            ("database_url", writer),
            ("database_reader_url", reader),
        )
        if endpoint is not None
    }
    return Connectors(load_settings(flags={**place, "interval": 0.2, **flags}))


def of(answer: Doctor, check_id: str) -> Diagnosis:
    return next(it for it in answer.checks if it.id == check_id)


@pytest.fixture
async def role(served: Served) -> AsyncGenerator[str]:
    """A role without any privilege, on both servers."""
    name = new_name("role")
    async with session(served.writer) as admin:
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        await until_reachable(as_role(served.reader, name))
        yield name
        await admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def as_role(endpoint: Endpoint, name: str) -> Endpoint:
    return replace(endpoint, user=name, password=SecretStr(name))


async def test_a_plain_role_hears_what_it_may_not_see_and_the_grant(
    served: Served, role: str
) -> None:
    places = [as_role(it, role) for it in (served.writer, served.reader)]
    # The servers of these tests do not wait for the disk, which D38 says.
    chosen = choices(catalogue(), skip=["D38"])
    answer = await doctor(to(*places), chosen)
    assert (answer.status, answer.outcome) == (Status.UNKNOWN, Outcome.UNHEALTHY)
    hidden = of(answer, "D20")
    assert (hidden.status, len(hidden.findings)) == (Status.UNKNOWN, 2)
    assert {it.role for it in hidden.findings} == {"writer", "reader"}
    assert hidden.requires == f"GRANT pg_read_all_stats TO {role}"
    async with session(served.writer) as admin:
        await admin.execute(f"GRANT pg_monitor, pg_read_all_data TO {role}")
    async with session(served.reader) as standby:
        await until_true(
            standby, f"SELECT pg_has_role('{role}', 'pg_monitor', 'USAGE')"
        )
    answer = await doctor(to(*places))
    assert answer.counts["unknown"] == 0
    assert of(answer, "D20").status is Status.OK


async def test_a_role_that_may_not_connect_is_refused(
    served: Served, role: str
) -> None:
    async with session(served.writer) as admin:
        await admin.execute(f"REVOKE CONNECT ON DATABASE {served.name} FROM PUBLIC")
    answer = await doctor(to(as_role(served.writer, role)))
    assert answer.outcome is Outcome.REFUSED
    assert answer.problem is not None
    assert "permission denied" in answer.problem.message


async def test_without_a_reader_its_checks_do_not_apply_and_the_same_for_a_writer(
    served: Served,
) -> None:
    writer = await doctor(to(served.writer))
    assert writer.problem is None
    assert not of(writer, "D04").applies
    assert of(writer, "D20").status is Status.OK
    reader = await doctor(to(None, served.reader))
    assert reader.problem is None
    assert reader.counts["unknown"] == 0
    assert not of(reader, "D23").applies
    assert of(reader, "D20").status is Status.OK


@pytest.mark.parametrize("silent", ["writer", "reader"])
async def test_a_server_that_cannot_be_reached_hides_nothing_of_the_other(
    served: Served, silent: str
) -> None:
    places = {"writer": served.writer, "reader": served.reader}
    places[silent] = replace(
        places[silent], addresses=(replace(places[silent].addresses[0], port=1),)
    )
    answer = await doctor(to(places["writer"], places["reader"]))
    assert answer.outcome is Outcome.UNREACHABLE
    hidden = of(answer, "D20")
    assert hidden.status is Status.UNKNOWN
    assert [it.role for it in hidden.findings] == [silent]
    assert "no other transaction is open" in hidden.summary
    said = [found.message for it in answer.checks for found in it.findings]
    assert not [it for it in said if "bug in dbops" in it]


async def test_a_reader_of_another_cluster_fails(served: Served) -> None:
    async with throwaway(template=False, standby=False) as stranger:
        answer = await doctor(to(served.writer, stranger.writer))
    assert answer.status is Status.FAIL
    assert of(answer, "D04").status is Status.FAIL


async def test_a_check_that_stumbles_or_does_not_apply_hides_nobody(
    served: Served,
) -> None:
    async def find(server: Server, _limits: Limits) -> Found:
        if server.role == "writer":
            raise NotApplicableError("it is a writer")
        finding = Finding(object="x", message="it is bad", severity=Severity.FAIL)
        return Found("it is bad", (finding,))

    async def stumble(server: Server, _limits: Limits) -> Found:
        if server.role == "writer":
            raise ZeroDivisionError(server.user)
        raise UndecidedError("it cannot be known", requires="GRANT something")

    async def judged(finds: object) -> Diagnosis:
        check = ServerCheck(
            id="D98",
            title="x",
            question="x?",
            on="each",
            find=finds,  # type: ignore[arg-type] # one of the two
        )
        async with reached(to(served.writer, served.reader)) as cluster:
            asked = await ask(check, cluster, Choices())
        return diagnose(check, {"": asked}, Choices())

    both = await judged(find)
    assert (both.status, both.applies, both.summary) == (Status.FAIL, True, "it is bad")
    assert [it.role for it in both.findings] == ["reader"]
    worse = await judged(stumble)
    assert worse.status is Status.UNKNOWN
    first, second = (it.message for it in worse.findings)
    assert "this is a bug in dbops: ZeroDivisionError at test_doctor.py" in first
    assert second == "it cannot be known"
    assert worse.requires == "GRANT something"


async def test_accepted_findings_stay_visible_and_count_no_more(
    served: Served,
) -> None:
    async with session(served.writer) as admin:
        await admin.execute(
            "CREATE TABLE twice (n int); CREATE INDEX a ON twice (n); "
            'CREATE UNLOGGED TABLE "un[logged]" (n int); ANALYZE'
        )
    known = {"ignore": ["D35:public.*"], "reasons": ["a cache"]}
    found = await doctor(to(served.writer), choices(catalogue(), only=["D35"]))
    assert len(of(found, "D35").findings) == 1
    answer = await doctor(
        to(served.writer), choices(catalogue(), only=["D35"], **known)
    )
    (accepted,) = of(answer, "D35").accepted
    assert of(answer, "D35").findings == ()
    assert (accepted.object, accepted.reason) == ('public."un[logged]"', "a cache")
    assert accepted.database == served.name


async def test_every_database_is_looked_into_one_after_another(
    served: Served, role: str
) -> None:
    """With fewer connections than databases: two may be ending as another begins."""
    ill, shut = new_name("ill"), new_name("shut")
    made = (ill, shut, new_name("well"), new_name("well"))
    mine = as_role(served.writer, role)
    async with session(served.writer) as admin:
        await admin.execute(f"GRANT pg_monitor, pg_read_all_data TO {role}")
        await admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 3")
        try:
            for name in made:
                await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            await admin.execute(f"REVOKE CONNECT ON DATABASE {shut} FROM PUBLIC")
            async with session(served.writer.with_database(ill)) as there:
                await there.execute("CREATE UNLOGGED TABLE lost (n int)")
            chosen = choices(catalogue(), only=["D35", "D42"])
            answer = await doctor(to(mine), chosen, all_databases=True)
        finally:
            for name in made:
                await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    found = of(answer, "D35")
    assert [it.object for it in found.findings if it.database == ill] == ["public.lost"]
    (unseen,) = [it for it in found.findings if it.database == shut]
    assert (unseen.object, unseen.severity) == (shut, Severity.UNKNOWN)
    assert unseen.remedy == f"GRANT CONNECT ON DATABASE {shut} TO {role}"
    assert found.status is Status.UNKNOWN
    # What all databases share is asked once.
    assert len(of(answer, "D42").notes) <= 1
    # Other tests have databases here that are full.
    assert answer.problem is None or role not in answer.problem.message


@pytest.fixture(scope="module", params=["embedded", "installed"])
async def healthy(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    """An ordinary database on a pair of servers as they are delivered."""
    pg_bin = installed_postgresql() if request.param == "installed" else None
    async with throwaway(pg_bin=pg_bin, settings={"fsync": "on"}) as pair:
        async with session(pair.writer) as admin:
            await admin.execute(ORDINARY)
            await admin.execute(
                "CREATE ROLE monitor LOGIN PASSWORD 'monitor'"
                " IN ROLE pg_monitor, pg_read_all_data"
            )
            await admin.execute("VACUUM ANALYZE")
            token = await admin.fetchval("SELECT pg_current_wal_flush_lsn()::text")
        async with session(pair.reader) as standby:
            await until_true(standby, f"SELECT pg_last_wal_replay_lsn() >= '{token}'")
        yield pair


@pytest.mark.parametrize("user", ["dbops", "monitor"])
@pytest.mark.parametrize("all_databases", [False, True])
async def test_a_healthy_database_is_clean(
    healthy: Pair, user: str, *, all_databases: bool
) -> None:
    places = [healthy.writer, healthy.reader]
    if user != "dbops":
        places = [as_role(it, user) for it in places]
    answer = await doctor(to(*places), all_databases=all_databases)
    findings = [
        (it.id, found.severity, found.object, found.message)
        for it in answer.checks
        for found in it.findings
    ]
    assert findings == []
    assert (answer.status, answer.outcome) == (Status.OK, Outcome.OK)


async def test_a_database_at_work_is_clean(healthy: Pair) -> None:
    """Short transactions, an index that is being built, a vacuum, a base backup."""

    async def work(number: int) -> None:
        async with session(healthy.writer, f"app {number}") as client:
            while True:
                async with client.transaction():
                    await client.execute(
                        "UPDATE books SET title = 'new' WHERE id = $1", number
                    )
                await client.execute("SELECT count(*) FROM books WHERE author_id = 7")
                await client.execute("VACUUM authors")

    working = [asyncio.create_task(work(number)) for number in range(4)]
    try:
        answer = await doctor(to(healthy.writer, healthy.reader, interval=0.5))
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    assert [(it.id, it.findings) for it in answer.checks if it.findings] == []

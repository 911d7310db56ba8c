"""`dbops demo`: the whole story on a pair that is started for it and thrown away."""

from collections.abc import Callable, Mapping
from typing import Any

from dbops.cli.call import Call
from dbops.engine.connect import Connector, Connectors
from dbops.errors import FailedError
from dbops.limits import Limit, Unit
from dbops.local.replay import delay_apply
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.operations.create_db import create_db
from dbops.operations.init import starter_folder
from dbops.operations.lag import Lag, lag
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from dbops.operations.ping import ping
from dbops.operations.pool import pool
from dbops.operations.wait import wait
from dbops.results import Model, Result, Status
from dbops.settings import Settings, load_settings
from dbops.units import duration_text

DATABASE = "demo"
DELAY_S = 3.0
WARN_S, FAIL_S = 0.5, 1.0
LIMITS: Mapping[Unit, Limit] = {"s": Limit(WARN_S, FAIL_S, "s")}
REPLAY_LIMIT_S = 30.0

LATE_ROW = "INSERT INTO articles (title, slug) VALUES ('Late', 'late')"

Tell = Callable[[str, Result], None]


class Step(Model):
    """One step of the story."""

    title: str
    """What was done."""
    result: Mapping[str, Any]
    """What it answered."""


class Demo(Result):
    """How the story went."""

    summary: str
    """How it ended, in one sentence."""
    server_version: str
    """The PostgreSQL that it ran on."""
    steps: tuple[Step, ...] | None
    """Every step, in order; null where each was shown at once."""


async def tell(call: Call) -> Demo:
    """Tell the story on a throw-away pair.

    Raises:
        DbopsError: The first step's that fails.
    """
    cache_dir, pg_bin = call.settings.cache_dir, call.settings.pg_bin
    steps: list[Step] = []

    def told(title: str, result: Result) -> None:
        if not call.show(title, result):
            steps.append(Step(title=title, result=result.model_dump(mode="json")))

    call.say("starting an embedded writer and a streaming standby …")
    async with throwaway(cache_dir=cache_dir, pg_bin=pg_bin) as pair:
        await _told_on(_settings(call, pair), told)
    return Demo(
        summary="the lag check caught the reader that was made to fall behind; "
        "both servers are stopped and removed",
        server_version=pair.server_version,
        steps=tuple(steps) or None,
    )


def _settings(call: Call, pair: Pair) -> Settings:
    """Point at the demo's database, whatever else is configured."""
    places = {"database_url": pair.writer, "database_reader_url": pair.reader}
    return load_settings(
        flags={
            name: endpoint.with_database(DATABASE).url(show_password=True)
            for name, endpoint in places.items()
        }
    ).named(call.settings.application_name)


async def _told_on(settings: Settings, told: Tell) -> None:
    connectors = Connectors(settings)
    writer, reader = connectors.connector("writer"), connectors.connector("reader")
    told(f"$ dbops create-db {DATABASE}", await create_db(connectors, DATABASE))
    project = Project(str(starter_folder() / "alembic.ini"))
    told("$ dbops migrate", await migrate(connectors, project))
    await wait(reader, "database", limit_s=REPLAY_LIMIT_S)
    told("$ dbops ping", await ping({"writer": writer, "reader": reader}))
    told("$ dbops pool", await pool(writer, settings))
    checked = (
        f"$ dbops lag --warn {duration_text(WARN_S)} --fail {duration_text(FAIL_S)}"
    )
    told(checked, await lag(writer, reader, limits=LIMITS))
    caught = await _fallen_behind(writer, reader)
    told(f"{checked}   # the reader now applies {DELAY_S:g} s late, on purpose", caught)
    if caught.status is not Status.FAIL:
        raise FailedError("the lag check did not catch the reader that fell behind")


async def _fallen_behind(writer: Connector, reader: Connector) -> Lag:
    """Delay the standby, commit once on the writer, and look."""
    async with reader.session() as standby:
        await delay_apply(standby, DELAY_S)
    async with writer.session() as primary:
        await primary.execute(LATE_ROW)
    return await lag(writer, reader, limits=LIMITS)

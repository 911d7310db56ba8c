"""The short way of `dbops migrate` leaves a pooler to the long one."""

from pathlib import Path

from dbops.credentials import Credentials
from dbops.engine.connect import Connector
from dbops.operations.init import init
from dbops.operations.migrate.at_head import heads_of, is_at_head
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from tests.conftest import Served, until_reachable
from tests.faults.test_pgbouncer import running


async def test_a_pooler_is_left_to_the_long_way(served: Served, tmp_path: Path) -> None:
    await init(tmp_path)
    ini = str(tmp_path / "alembic.ini")
    (tmp_path / "migrations" / "versions" / "a1.py").write_text(
        "revision = 'a1'\ndown_revision = None\ndef upgrade():\n    pass\n"
    )
    await migrate(served.connectors(), Project(ini))
    heads = heads_of(ini)
    assert heads is not None
    assert await is_at_head(Connector(Credentials.known(served.writer)), heads)
    with running(served.writer) as pooler:
        pooled = pooler.with_database(served.name)
        await until_reachable(pooled, limit_s=10)
        assert not await is_at_head(Connector(Credentials.known(pooled)), heads)

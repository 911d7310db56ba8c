"""The main job once more, on the system's own PostgreSQL."""

from dbops.engine.connect import Connectors
from dbops.local.throwaway import throwaway
from dbops.operations.init import starter_folder
from dbops.operations.migrate.project import Project
from dbops.operations.pool import pool
from dbops.operations.setup import setup
from dbops.results import Status
from dbops.settings import load_settings
from tests.conftest import installed_postgresql


async def test_setup_and_pool_work_on_the_systems_own_postgresql() -> None:
    async with throwaway(pg_bin=installed_postgresql()) as pair:
        settings = load_settings(
            flags={
                "database_url": pair.writer.with_database("shop").url(
                    show_password=True
                ),
                "database_reader_url": pair.reader.with_database("shop").url(
                    show_password=True
                ),
                "extensions": ("pgcrypto",),
            }
        )
        connectors = Connectors(settings)
        project = Project(str(starter_folder() / "alembic.ini"))
        first = await setup(connectors, "shop", project)
        second = await setup(connectors, "shop", project)
        limits = await pool(connectors.connector("writer"), settings)
    assert first.status is second.status is Status.OK
    assert first.create_db.created
    assert first.create_db.extensions == ("pgcrypto",)
    assert not second.create_db.created
    assert limits.server.usable == limits.server.max_connections - 3

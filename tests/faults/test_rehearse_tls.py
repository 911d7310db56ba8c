"""A schema is copied over TLS where the settings, or the server, want it."""

from dataclasses import replace
from pathlib import Path

import pytest

from dbops.endpoint import Endpoint
from dbops.engine.connect import Connectors
from dbops.errors import DbopsError
from dbops.operations.init import init
from dbops.operations.migrate.project import Project
from dbops.operations.rehearse.rehearse import rehearse
from dbops.operations.rehearse.rehearsed import Rehearsed
from dbops.settings import load_settings
from tests.faults.conftest import TlsServer
from tests.revisions import write_revision


@pytest.fixture
async def project(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project with one revision, and a cache that servers can reach."""
    monkeypatch.setenv("DBOPS_CACHE_DIR", str(cache_dir))
    await init(tmp_path)
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    return Project(str(tmp_path / "alembic.ini"))


async def rehearsed(endpoint: Endpoint, project: Project) -> Rehearsed:
    flags = {"database_url": endpoint.url(show_password=True)}
    return await rehearse(Connectors(load_settings(flags=flags)), project)


async def test_a_server_that_wants_tls_is_copied(
    tls_server: TlsServer, project: Project
) -> None:
    # The pg_dump beside the throw-away server's programs may have been built without.
    found = await rehearsed(tls_server.at(user="only_tls"), project)
    assert found.starts_from == "schema"
    assert found.after == ("a1",)


async def test_a_certificate_is_checked_as_the_settings_say(
    tls_server: TlsServer, project: Project
) -> None:
    good = tls_server.at(sslmode="verify-full", root=tls_server.authority)
    assert (await rehearsed(good, project)).starts_from == "schema"
    bad = replace(good, sslrootcert=str(tls_server.stranger.certificate_file))
    with pytest.raises(DbopsError, match="certificate"):
        await rehearsed(bad, project)

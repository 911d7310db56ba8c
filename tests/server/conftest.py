"""What the tests of a schema's life share."""

from pathlib import Path

import pytest

from dbops.operations.init import init
from tests.revisions import write_revision


@pytest.fixture
async def project(tmp_path: Path) -> Path:
    """A project as `dbops init` makes it, with three revisions."""
    await init(tmp_path)
    write_revision(tmp_path, "a1", None, "op.execute('CREATE TABLE a (n int)')")
    write_revision(tmp_path, "b2", "a1", "op.execute('CREATE TABLE b (n int)')")
    write_revision(tmp_path, "c3", "b2", "op.execute('CREATE TABLE c (n int)')")
    return tmp_path

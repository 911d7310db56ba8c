"""Small Alembic projects, written by hand as a user would."""

import textwrap
from pathlib import Path

from dbops.engine.connect import connect
from dbops.operations.migrate.project import Project
from tests.conftest import Served


def write_revision(project: Path, name: str, down: str | None, upgrade: str) -> None:
    """Write one revision by hand, as a user would."""
    folder = next(p for p in project.iterdir() if (p / "versions").is_dir())
    body = textwrap.indent(textwrap.dedent(upgrade).strip(), "    ")
    (folder / "versions" / f"{name}.py").write_text(
        f'"""do {name}"""\n'
        "from alembic import op\n"
        f"revision, down_revision = {name!r}, {down!r}\n"
        f"def upgrade():\n{body}\n"
        "def downgrade():\n    pass\n"
    )


def opened(project: Path) -> Project:
    return Project(str(project / "alembic.ini"))


async def tables(served: Served) -> set[str]:
    connection = await connect(served.writer)
    try:
        rows = await connection.fetch(
            "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = 'public'"
        )
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()

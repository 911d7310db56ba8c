"""Revisions that use all of Alembic, as a user would write them."""

import textwrap
from pathlib import Path


def write_revision(
    project: Path, name: str, down: object, body: str = "pass", *, more: str = ""
) -> Path:
    """Write one revision by hand, with SQLAlchemy at hand, for any template."""
    folder = next(p for p in project.iterdir() if (p / "versions").is_dir())
    path = folder / "versions" / f"{name}.py"
    path.write_text(
        f'"""do {name}"""\n'
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision = {name!r}, {down!r}\n{more}\n"
        f"def upgrade(engine_name=None):\n"
        f"{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
        "def downgrade(engine_name=None):\n    pass\n"
    )
    return path

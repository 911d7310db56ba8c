"""Run the commands of README in a terminal and keep what they show as pictures.

    PYTHONPATH=. python docs/make_pictures.py            all of them
    PYTHONPATH=. python docs/make_pictures.py ping lag   some

Every picture is a real run on a writer and a standby that are started for it.
"""

import argparse
import asyncio
import os
import pty
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dbops.endpoint import Endpoint
from dbops.engine.connect import connect
from dbops.local.throwaway import throwaway
from dbops.operations.init import starter_folder
from tests.browser import browser

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 100

# In this order: each finds what the ones before it have left.
PICTURES = {
    "help": "dbops --help",
    "demo": "dbops demo",
    "init": "dbops init",
    "config": "dbops config --set",
    "wait": "dbops wait --for server --timeout 60s",
    "create-db": "dbops create-db --extension pg_trgm",
    "status": "dbops status",
    "migrate": "dbops migrate",
    "lint": "dbops lint",
    "rehearse": "dbops migrate --rehearse",
    "check": "dbops check --no-drift",
    "create-tables": "dbops create-tables shop:metadata",
    "setup": "dbops setup --wait 60s",
    "ping": "dbops ping --reader --writer",
    "pool": "dbops pool",
    "lag": "dbops lag --warn 5s --fail 30s",
    "doctor": "dbops doctor",
    "report": "dbops report -o report.html --count 40 --interval 100ms",
    "local": "dbops local up",
    "local-down": "dbops local down",
    "drop-db": "dbops drop-db --yes",
}
# `status` and `check` are shown where `migrate` has work, `lint` where it warns.
EXPECTED = (0, 1, 3)
RISKY = """\
\"\"\"give articles a token\"\"\"

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    token = sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()"))
    op.add_column("articles", token)
    op.create_index("articles_title_idx", "articles", ["title"])


def downgrade() -> None:
    op.drop_index("articles_title_idx")
"""
# Something for the doctor to find.
ILLNESS = """
    CREATE INDEX articles_title_again ON articles (title);
    ALTER TABLE articles ADD CONSTRAINT has_a_title CHECK (title <> '') NOT VALID;
"""
SHOP = """\
from sqlalchemy import Column, ForeignKey, Identity, Integer, MetaData, Table, Text

metadata = MetaData()
Table("customers", metadata, Column("id", Integer, Identity(), primary_key=True))
Table(
    "orders",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False),
    Column("note", Text),
)
"""


def shown(command: str, env: Mapping[str, str], folder: Path) -> str:
    """Run a command on a terminal of its own and return what it printed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        words = [sys.executable, "-m", *shlex.split(command)]
        os.execve(sys.executable, words, dict(env))  # noqa: S606 # our own program
    output = b""
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side has gone
            break
        if not block:
            break
        output += block
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code not in EXPECTED:
        raise SystemExit(f"{command} exited {code}:\n{output.decode()}")
    return output.decode().replace("\r\n", "\n")


def save(name: str, command: str, output: str) -> None:
    """Write a terminal's content as an SVG picture."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115 # nothing is written
    console.print(Text("$ ", "bold green") + Text(command, "bold"))
    console.print(Text.from_ansi(output.rstrip()))
    picture = console.export_svg(title=command, unique_id=name)
    # A picture that loads fonts from elsewhere would look different offline.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    (FOLDER / f"{name}.svg").write_text(picture)


async def plant(database: Endpoint) -> None:
    """Make the database ill."""
    connection = await connect(database)
    await connection.execute(ILLNESS)
    await connection.close()


async def photograph(page: Path) -> None:
    """Keep the upper part of a page as a browser shows it."""
    async with browser() as started:
        view = await started.new_page(viewport={"width": 900, "height": 1150})
        await view.goto(page.as_uri())
        await view.screenshot(path=FOLDER / "report.png")


def project_in(folder: Path) -> Path:
    """Make the folder of a project that has tables and no migrations yet."""
    # The servers of the local pair may belong to another account.
    folder.chmod(0o755)
    project = folder / "shop"
    project.mkdir()
    (project / "shop.py").write_text(SHOP)
    return project


async def main() -> None:
    """Start a pair, run the commands, keep the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []])
    wanted = parser.parse_args().names or list(PICTURES)
    FOLDER.mkdir(exist_ok=True)
    # The doctor would say that a throw-away server does without it.
    async with throwaway(settings={"fsync": "on"}) as pair:
        with tempfile.TemporaryDirectory() as name:
            folder = project_in(Path(name))
            env = {
                "PATH": os.environ["PATH"],
                "TERM": "xterm-256color",
                "COLUMNS": str(WIDTH),
                "DBOPS_CACHE_DIR": name,
                "DATABASE_URL": pair.writer.with_database("shop").url(
                    show_password=True
                ),
                "DATABASE_READER_URL": pair.reader.with_database("shop").url(
                    show_password=True
                ),
            }
            for picture, command in PICTURES.items():
                output = await asyncio.to_thread(shown, command, env, folder)
                if picture == "report" and picture in wanted:
                    await photograph(folder / "report.html")
                elif picture in wanted:
                    # The folder of this run says nothing to a reader.
                    save(picture, command, output.replace(name, "/var/cache/dbops"))
                if picture == "migrate":
                    versions = folder / "migrations" / "versions"
                    (versions / "0003_token.py").write_text(RISKY)
                if picture == "lag":
                    await plant(pair.writer.with_database("shop"))
                if picture == "init":
                    shutil.copytree(
                        starter_folder() / "migrations" / "versions",
                        folder / "migrations" / "versions",
                        dirs_exist_ok=True,
                    )


if __name__ == "__main__":
    asyncio.run(main())

"""The whole command line: importing the rooms registers their commands."""

from dbops.cli import commands, health, local, migrations  # noqa: F401 # they register themselves
from dbops.cli.lazy import group_of
from dbops.cli.register import COMMANDS

app = group_of(
    COMMANDS,
    name="dbops",
    help="Create, migrate and prove healthy a PostgreSQL writer and its readers.",
)

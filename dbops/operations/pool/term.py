"""What is a summand of the demand?"""

from dbops.results import Model

APPLICATION = ("service", "jobs", "pgbouncer")
"""The terms that follow the application where it goes."""


class Term(Model):
    """One summand of the demand."""

    name: str
    """What opens these connections."""
    connections: int | None
    """How many at most; null when there is no limit."""
    how: str
    """The arithmetic behind that number."""
    why: str
    """What it is, and where its numbers come from."""


# What is never configured anywhere, and is missed first when a server is full.
MIGRATIONS = Term(
    name="migrations",
    connections=2,
    how="2",
    why="dbops migrate: one that migrates, one that looks for who stands in its way",
)
MONITORING = Term(
    name="monitoring",
    connections=2,
    how="2",
    why="a constant: one of dbops, one of an exporter",
)
HUMANS = Term(
    name="humans",
    connections=5,
    how="5",
    why="a constant: people with psql while something is wrong",
)

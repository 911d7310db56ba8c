"""What is one thing that a statement does?"""

from dataclasses import dataclass

from dbops.operations.lint.names import Name
from dbops.operations.lint.words import Words


@dataclass(frozen=True)
class Action:
    """One thing that a statement does."""

    kind: str
    """Such as `create index` or `add column`."""
    body: Words
    """What follows the names."""
    table: Name | None = None
    """The table (or view, or index) that it is done to."""
    name: str | None = None
    """The column, constraint or index."""
    words: Words = Words()  # noqa: RUF009 # a frozen tuple
    """The whole statement."""

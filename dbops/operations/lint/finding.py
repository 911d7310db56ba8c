"""What does a finding say?"""

from dbops.results import Model
from dbops.settings.model import Severity


class Finding(Model):
    """One thing to change before it runs in production."""

    revision: str | None
    """The Alembic revision; null for a file that is none."""
    path: str | None
    """The file of the revision, or the SQL file; null for standard input."""
    rule: str
    """The rule's id, as `-- dbops:ignore` takes it."""
    severity: Severity
    """`fail` or `warn`."""
    statement: str
    """The SQL that it is about, on one line, shortened."""
    message: str
    """What happens, in one sentence."""
    remedy: str
    """The safer way."""
    line: int
    """Where the statement begins in the SQL (`dbops migrate --sql`) or the file."""
    path_line: int
    """Where it is in the file at `path`, as far as that can be told."""
    table: str | None = None
    """The table; null where it is about none."""
    rows: int | None = None
    """The planner's estimate; null when no server was asked, or never analysed."""
    size_bytes: int | None = None
    """The table with its indexes; null when no server was asked."""
    source: str
    """The page that says so."""


class Source(Model):
    """A piece of SQL that runs as one: a revision or a file."""

    sql: str
    """All of it."""
    revision: str | None = None
    """The Alembic revision, where it is one."""
    path: str | None = None
    """The file that it is from."""
    python: str | None = None
    """What the file says where it is Python; null where it is this SQL."""
    transactional: bool | None = None
    """Whether a transaction is open when it begins; null where nobody says."""
    line: int = 1
    """The number of its first line in the file."""
    problem: str | None = None
    """Why there is no more of it."""
    is_earlier: bool = False
    """Whether it is only there for what later ones stand on, and is not judged."""

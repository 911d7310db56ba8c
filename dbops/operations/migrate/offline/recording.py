"""What an offline run prints, cut into its revisions."""

import io
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from alembic.script import Script
from typing_extensions import override

from dbops.engine.one_line import one_line
from dbops.engine.quoting import quoted_literal
from dbops.operations.migrate.offline.nowhere import NoDatabaseError
from dbops.operations.migrate.offline.silent import SilentConnection
from dbops.operations.migrate.way import leaves_transaction
from dbops.results import Model

_ENDS_TRANSACTION = re.compile(
    r"\s*(COMMIT|END|ROLLBACK|ABORT)\b(?!\s+TO\b)", re.IGNORECASE
)


class RevisionSql(Model):
    """The SQL of one revision."""

    revision: str
    """Its identifier."""
    message: str
    """The first line of its docstring."""
    path: str
    """Its file."""
    sql: str
    """Its own statements, without BEGIN, COMMIT and Alembic's version table around
    them; where it leaves its transaction, the COMMIT and BEGIN there are its own."""
    transactional: bool
    """Whether it stays in its transaction; where `problem` is set, as far as its
    source shows."""
    problem: str | None
    """Why it cannot be rendered; `sql` then holds what was rendered before. Null when
    it is whole."""


class Recording(io.TextIOBase):
    """The buffer that Alembic writes a script to."""

    def __init__(self) -> None:
        self.revisions: list[RevisionSql] = []
        self._printed: list[str] = []
        self._files: list[tuple[int, str]] = []
        self._obstacles: list[str] = []

    @property
    def sql(self) -> str:
        """The whole script.

        What env.py wants in several files stands below each other, under their names.
        """
        printed = list(self._printed)
        if len(self._files) > 1:
            for index, name in reversed(self._files):
                printed.insert(index, f"-- dbops: what env.py writes to {name}\n\n")
        return "".join(printed)

    @override
    def write(self, text: str) -> int:
        """Take what Alembic prints."""
        self._printed.append(text)
        return len(text)

    def begin_file(self, file: object) -> None:
        """Note that env.py wants what comes next in a file, where it does."""
        name = getattr(file, "name", None)
        if isinstance(name, str) and not name.startswith("<"):
            self._files.append((len(self._printed), Path(name).name))

    def hindered(self, why: str) -> Exception:
        """Note an obstacle and return it, for a revision may catch the exception."""
        self._obstacles.append(why)
        return NoDatabaseError(why)

    def recorded(
        self, script: Script, upgrade: Callable[..., None]
    ) -> Callable[..., None]:
        """Return `upgrade` as one whose output is noted, and that never fails."""

        @wraps(upgrade)
        def watched(**kwargs: Any) -> None:  # noqa: ANN401 # what env.py hands over
            self._obstacles.clear()
            start = len(self._printed)
            try:
                upgrade(**kwargs)
            except (Exception, SystemExit) as error:  # noqa: BLE001 # the others go on
                self._obstacles.append(_why(error))
            self._note(script, self._printed[start:])

        return watched

    def _note(self, script: Script, printed: list[str]) -> None:
        problem = self._obstacles[0] if self._obstacles else None
        stayed = not any(_ENDS_TRANSACTION.match(part) for part in printed)
        if problem is not None:
            self.write(_gap(script.revision, problem))
            stayed = stayed and not leaves_transaction(script)
        self.revisions.append(
            RevisionSql(
                revision=script.revision,
                message=script.doc,
                path=script.path,
                sql="".join(printed).strip(),
                transactional=stayed,
                problem=problem,
            )
        )


def _why(error: BaseException) -> str:
    """Say in one line what stood in the way of a revision."""
    if isinstance(error, NoDatabaseError):
        return str(error)
    if isinstance(error, AttributeError) and isinstance(error.obj, SilentConnection):
        return f"it uses op.get_bind().{error.name}, which needs a database"
    said, *_ = str(error).splitlines() or [""]
    return one_line(f"{type(error).__name__}: {said}".rstrip(": "))


def _gap(revision: str, problem: str) -> str:
    """Say in the script that SQL is missing, and let nobody run over the gap."""
    message = f"dbops could not render all of revision {revision}"
    return (
        f"-- dbops: SQL of revision {revision} is missing here: {problem}\n"
        f"DO $dbops$ BEGIN RAISE EXCEPTION USING MESSAGE = {quoted_literal(message)}; "
        "END $dbops$;\n\n"
    )

"""Where does the SQL come from?"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dbops.errors import UsageError
from dbops.operations.lint.finding import Source

if TYPE_CHECKING:
    from dbops.operations.migrate.offline.recording import RevisionSql

# What `alembic upgrade --sql` writes in front of each revision.
_REVISION = re.compile(
    r"^-- Running upgrade\s[^\r\n]*->\s*(?P<revision>[^\s,]+)", re.MULTILINE
)


def of_text(sql: str, path: str | None) -> list[Source]:
    """Return the SQL of a file: a script of Alembic's is several revisions."""
    marks = list(_REVISION.finditer(sql))
    if not marks:
        return [Source(sql=sql, path=path)]
    begins = [0, *(mark.start() for mark in marks)]
    ends = [*begins[1:], len(sql)]
    names = [None, *(mark["revision"] for mark in marks)]
    return [
        Source(
            sql=sql[begin:end],
            revision=name,
            path=path,
            transactional=None if name is None else _is_begun(sql[:begin]),
            line=sql.count("\n", 0, begin) + 1,
        )
        for begin, end, name in zip(begins, ends, names, strict=True)
    ]


def of_file(path: Path) -> list[Source]:
    """Return the SQL of a file.

    Raises:
        UsageError: If it cannot be read.
    """
    try:
        return of_text(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is not UTF-8", hint="write it anew in UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not the name of a file"
        raise UsageError(f"{path} cannot be read: {why}") from error


def of_revisions(revisions: "Iterable[RevisionSql]") -> list[Source]:
    """Return the SQL of revisions, each by itself."""
    return [
        Source(
            sql=revision.sql,
            revision=revision.revision,
            path=_from_here(Path(revision.path)),
            python=_read(Path(revision.path)),
            transactional=revision.transactional,
            problem=revision.problem,
        )
        for revision in revisions
    ]


def _is_begun(sql: str) -> bool:
    """Whether a script has opened a transaction that is not closed."""
    begins = len(re.findall(r"^BEGIN;", sql, re.MULTILINE))
    return begins > len(re.findall(r"^COMMIT;", sql, re.MULTILINE))


def _from_here(path: Path) -> str:
    """Return the path as an annotation of a repository wants it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _read(path: Path) -> str:
    """Return what the revision's file says; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

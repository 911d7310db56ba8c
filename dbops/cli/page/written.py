"""A report as a file."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import PrivateAttr
from typing_extensions import override

from dbops.cli.page.answers import answers
from dbops.cli.page.document import page
from dbops.errors import UsageError
from dbops.operations.report import Report
from dbops.results import Checked, Measure, Model, Problem, Result, Status

_FILE = "report.html"
_TARGET = "{target}"


class Answer(Model):
    """One of the questions that the page answers."""

    question: str
    """What was asked, such as `lag`."""
    status: Status
    """Its verdict; unknown where it has no answer."""
    summary: str
    """One sentence."""


class Written(Result):
    """A report that was written; the status is the report's."""

    file: str
    """Where it is."""
    size_bytes: int
    """How big it is."""
    answers: tuple[Answer, ...]
    """What it says."""
    _report: Report = PrivateAttr()

    @property
    @override
    def problem(self) -> Problem | None:
        return self._report.problem

    @override
    def checked(self) -> Sequence[Checked]:
        return self._report.checked()

    @override
    def measures(self) -> Sequence[Measure]:
        return self._report.measures()


def written(report: Report, file: Path, *, target: str) -> Written:
    """Write a report as a page of HTML; what was there is replaced as a whole.

    Raises:
        UsageError: If the file cannot be written.
    """
    text = page(report, target=target).encode("utf-8")
    try:
        _replace(file, text)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}",
            hint="name another file with --output",
        ) from None
    told = Written(
        status=report.status,
        file=str(file),
        size_bytes=len(text),
        answers=tuple(
            Answer(question=it.name, status=it.status, summary=it.summary)
            for it in answers(report)
        ),
    )
    told._report = report  # noqa: SLF001 # our own, made a moment ago
    return told


def named_for(file: Path | None, target: str, *, many: bool) -> Path:
    """Return the file of one target; `{target}` in a name stands for the target's.

    Raises:
        UsageError: If several targets would write to one file.
    """
    name = str(file or _FILE)
    if many and _TARGET not in name:
        raise UsageError(
            f"several targets cannot be written to {name}",
            hint="dbops report -t 'shop-*' -o 'report-{target}.html'",
        )
    return Path(name.replace(_TARGET, target.replace("/", "_")))


def may_be_written(file: Path) -> None:
    """Find out before a minute is spent on what it is to hold.

    Raises:
        UsageError: If its folder is not there or closed, or the file is a folder.
    """
    place = file.resolve()
    is_special = place.exists() and not place.is_file() and not place.is_dir()
    folder = place.parent
    if not is_special and (
        place.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK)
    ):
        raise UsageError(
            f"{file} cannot be written",
            hint="name a file in a folder that exists, with --output",
        )


def _replace(file: Path, text: bytes) -> None:
    """Write beside it and rename: nobody sees half a page, and no old one is lost."""
    place = file.resolve()
    if place.exists() and not place.is_file():
        # A pipe or a device takes bytes, and is not to be replaced by a file.
        place.write_bytes(text)
        return
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        beside.write_bytes(text)
        beside.replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise

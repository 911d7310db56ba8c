"""Which revisions are a project's newest? Read without running its files.

As `RevisionMap` of Alembic, for histories in which nothing is odd.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dbops.operations.migrate.at_head.revisions import RevisionText, read_revision
from dbops.operations.migrate.at_head.unsure import UnsureError


class HeadsText(NamedTuple):
    """The newest revisions of a project, sorted."""

    heads: tuple[str, ...]
    """Those that none follows: what `head` and `alembic heads` mean."""
    rows: tuple[str, ...]
    """Those that none follows or depends on: what a database at head has."""


def read_heads(folders: Sequence[Path], *, is_recursive: bool) -> HeadsText:
    """Read every revision and return the newest.

    Args:
        folders: The version locations; one that does not exist is left out.
        is_recursive: Whether the folders in them count too.

    Raises:
        UnsureError: If Alembic might find others.
        Exception: Whatever reading or parsing a file raises.
    """
    seen: set[str] = set()
    revisions: dict[str, RevisionText] = {}
    for folder in folders:
        for path in _files(str(folder), seen, is_recursive=is_recursive):
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 # many files
                found = read_revision(file.read())
            if found.revision in revisions:
                raise UnsureError("a revision twice")
            revisions[found.revision] = found
    return _heads(revisions)


def _files(folder: str, seen: set[str], *, is_recursive: bool) -> Iterator[str]:
    """Yield the files that Alembic takes for revisions."""
    place = os.path.realpath(folder)
    if place in seen or place.endswith("__pycache__"):
        raise UnsureError("a folder twice")
    seen.add(place)
    if not os.path.lexists(place):
        return
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        if entry.is_symlink() and entry.name.endswith(".py"):
            # Alembic goes by the name of the file behind it.
            raise UnsureError("a link")
        if not entry.is_dir():
            if _is_revision(entry.name):
                yield entry.path
        elif is_recursive and _is_folder_of_revisions(entry):
            yield from _files(entry.path, seen, is_recursive=True)


def _is_revision(name: str) -> bool:
    if "\n" in name:
        raise UnsureError("a name of two lines")
    return name.endswith(".py") and not name.startswith((".#", "__init__"))


def _is_folder_of_revisions(entry: "os.DirEntry[str]") -> bool:
    return not entry.is_symlink() and not entry.name.endswith("__pycache__")


def _heads(revisions: Mapping[str, RevisionText]) -> HeadsText:
    known = _with_labels(revisions)
    above: dict[str, list[str]] = {}
    followed, needed = set[str](), set[str]()
    for name, revision in revisions.items():
        down = [known[each] for each in revision.down if each in revisions]
        depends_on = [known[each] for each in revision.depends_on]
        if len(down) < len(revision.down):
            raise UnsureError("a revision that is missing")
        followed.update(down)
        needed.update(depends_on)
        above[name] = [*down, *depends_on]
    _check_order(above)
    heads = revisions.keys() - followed
    return HeadsText(tuple(sorted(heads)), tuple(sorted(heads - needed)))


def _with_labels(revisions: Mapping[str, RevisionText]) -> Mapping[str, str]:
    """Map whatever names a revision to it; a branch's label names its first."""
    known = {name: name for name in revisions}
    for name, revision in revisions.items():
        for label in revision.labels:
            if label in known:
                raise UnsureError("a label twice")
            known[label] = name
    return known


def _check_order(above: Mapping[str, Sequence[str]]) -> None:
    """Refuse a history that goes in a circle."""
    waiting = {name: len(names) for name, names in above.items()}
    below: dict[str, list[str]] = {name: [] for name in above}
    for name, names in above.items():
        for each in names:
            below[each].append(name)
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:
        for each in below[name]:
            waiting[each] -= 1
            if waiting[each] == 0:
                ready.append(each)
    if len(ready) < len(above):
        raise UnsureError("a circle")

"""What is read of a history without running it, beside what Alembic finds."""

import random
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from dbops.operations.migrate.at_head.heads import HeadsText, read_heads
from dbops.operations.migrate.at_head.unsure import UnsureError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    versions = tmp_path / "versions"
    versions.mkdir()
    return versions


def alembics(folder: Path, *, recursive: bool = False) -> HeadsText | None:
    """Return what Alembic finds; None where it fails or warns."""
    script = ScriptDirectory(str(folder.parent), recursive_version_locations=recursive)
    try:
        heads = script.get_heads()
        rows = script.revision_map._real_heads  # noqa: SLF001 # what `heads` resolves to
    except Exception:  # noqa: BLE001 # the file's own code may raise anything
        return None
    return HeadsText(tuple(sorted(heads)), tuple(sorted(rows)))


def ours(folder: Path, *, recursive: bool = False) -> HeadsText | None:
    """Return what dbops reads; None where it leaves the answer to Alembic."""
    try:
        return read_heads([folder], is_recursive=recursive)
    except Exception:  # noqa: BLE001 # as `heads_of` takes it
        return None


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode(errors="surrogateescape"))


def plain(folder: Path, revision: str, down: str | None) -> None:
    write(
        folder, f"{revision}.py", f"revision = {revision!r}\ndown_revision = {down!r}"
    )


DOCSTRINGS = [
    '"""do it\n\nRevision ID: 1\nrevision = "no"\n"""\n',
    "'''x'''\n",
    '"x"\n',
    'r"""a\\"""\n"""\n',
    "",
]
COMMENTS = [
    "# revision identifiers, used by Alembic.\n",
    "#!/x\n# -*- coding: utf-8 -*-\n",
    "",
]
IMPORTS = [
    "from typing import Sequence, Union\n\nfrom alembic import op  # the\n",
    "from typing import (\n    Sequence,\n    Union,\n)\n",
    "import os\nfrom typing import Sequence, Union; x = os\n",
]
KINDS = ["", "", ": str", ": Union[str, Sequence[str], None]"]
ENDS = ["", "  # x", " "]
BLANKS = ["", "\n", "\n# revision = 'no'\n"]
BODIES = [
    "def upgrade():\n    op.execute('x')\n",
    "def upgrade():\n    print(revision)\n",
    "def upgrade():\n    '''\nrevision = 'no'\n'''\n",
    "def upgrade():\n    f(revision='no')\n",
    "def upgrade():\n    pass\n\nümlaut = 'ä'\n",
    "",
]


class History:
    """A random history without a fault, and how its files are written."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 # for tests
        self._ids = [f"{seed:x}r{number:x}" for number in range(self._between(1, 12))]
        self._labels: list[str] = []

    def _between(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def _some(self, among: list[str], most: int) -> list[str]:
        return self._random.sample(among, min(len(among), self._between(0, most)))

    def write(self, folder: Path) -> None:
        for number, revision in enumerate(self._ids):
            older = self._ids[:number]
            down = older[-1:] if self._between(0, 3) else self._some(older, 3)
            values = {
                "revision": repr(revision),
                "down_revision": self._several(down),
                "branch_labels": self._several(self._label(revision)),
                "depends_on": self._several(self._needed(older, down)),
            }
            name = f"{self._random.choice(['', '2024_', 'x-'])}{revision}.py"
            (folder / name).write_bytes(self._formatted(values).encode())

    def _label(self, revision: str) -> list[str]:
        if self._between(0, 5):
            return []
        self._labels.append(f"l{revision}")
        return self._labels[-1:]

    def _needed(self, older: list[str], down: list[str]) -> list[str]:
        if self._between(0, 3):
            return []
        own = [label for label in self._labels if label[1:] in older]
        return [it for it in self._some([*older, *own], 2) if it not in down]

    def _several(self, values: list[str]) -> str:
        quoted = [self._random.choice([repr(it), f'"{it}"']) for it in values]
        if not quoted:
            return self._random.choice(["None", "None", "()"])
        if len(quoted) == 1 and self._between(0, 3):
            return quoted[0]
        between = self._random.choice([", ", ",", ",\n    ", " ,\t"])
        comma = "," if len(quoted) == 1 else self._random.choice(["", ","])
        return self._random.choice(["({}{})", "[{}{}]", "(\n    {}{}\n)"]).format(
            between.join(quoted), comma
        )

    def _formatted(self, values: dict[str, str]) -> str:
        parts = (DOCSTRINGS, COMMENTS, IMPORTS)
        top = "".join(self._random.choice(part) for part in parts)
        middle = "".join(self._lines(values))
        text = top + middle + self._random.choice(BODIES)
        text = text if self._between(0, 5) else text.rstrip("\n")
        return text if self._between(0, 7) else text.replace("\n", "\r\n")

    def _lines(self, values: dict[str, str]) -> list[str]:
        one = self._random.choice
        needed = ("revision", "down_revision")
        if not self._between(0, 6):
            yield_both = ", ".join(values[name] for name in needed)
            first = [f"{', '.join(needed)} = {yield_both}\n"]
        else:
            first = []
        names = [
            name
            for name, value in values.items()
            if not (first and name in needed)
            and (name in needed or value not in ("None", "()") or self._between(0, 1))
        ]
        if not self._between(0, 4):
            self._random.shuffle(names)
        kind, equals = one(KINDS), one([" = ", "=", " =  ", "\t= "])
        return first + [
            f"{name}{kind}{equals}{values[name]}{one(ENDS)}\n{one(BLANKS)}"
            for name in names
        ]


@pytest.mark.parametrize("seed", range(150))
def test_a_random_history_has_the_heads_that_alembic_finds(
    folder: Path, seed: int
) -> None:
    History(seed).write(folder)
    expected = alembics(folder)
    assert expected is not None
    assert ours(folder) == expected


HEAD = "revision = 'b2'\ndown_revision = 'a1'\n"

# Files that follow a1, and that can be read for certain.
CERTAIN = {
    "as Alembic writes it": '''"""do it

Revision ID: b2
Revises: a1
Create Date: 2026-11-21 10:00:00

"""
from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = 'b2'
down_revision: Union[str, Sequence[str], None] = 'a1'
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    op.execute("UPDATE t SET n = 1")
''',
    "as Alembic wrote it": '''"""do it

Revision ID: b2
Revises: a1

"""

# revision identifiers, used by Alembic.
revision = 'b2'
down_revision = 'a1'

from alembic import op
import sqlalchemy as sa
''',
    "names in a string after it": HEAD + 'SQL = """\nrevision = "c3"\n"""\n',
    "names in a docstring before it": "'''\nrevision = 'c3'\n'''\n" + HEAD,
    "a docstring that ends in an escape": '"""x\\""""\n' + HEAD,
    "a tuple": "revision, down_revision = 'b2', 'a1'",
    "chained": HEAD + "branch_labels = depends_on = x = None\n",
    "a list": "revision = 'b2'\ndown_revision = ['a1']",
    "brackets around one": "revision = ('b2')\ndown_revision = ('a1')",
    "two strings side by side": "revision = 'b' '2'\ndown_revision = 'a1'",
    "a semicolon": "revision = 'b2'; down_revision = 'a1'",
    "an escape": "revision = '\\x62\\x32'\ndown_revision = 'a1'",
    "a line that goes on": "revision = \\\n'b2'\ndown_revision = 'a1'",
    "named again in a function": HEAD + "def upgrade():\n    print(revision)\n",
    "a parameter of that name": HEAD + "def f(revision):\n    g(revision=1)\n",
    "code between": "revision = 'b2'\nimport os\nx = os.sep\ndown_revision = 'a1'",
    "an f-string": HEAD + "x = f\"{'revision'}\"\n",
    "a form feed": "\x0c\n" + HEAD,
    "a byte order mark": "\ufeff" + HEAD,
    "an old-fashioned end of line": HEAD.replace("\n", "\r"),
    "no end of the last line": HEAD.rstrip(),
    "a label, and no need": HEAD + "branch_labels = ('x',)\ndepends_on = None\n",
    "another encoding": "# coding: utf-7\nrevision = '+AGI-2'\ndown_revision = 'a1'",
    "one of several unpacked": "revision, *rest = 'b2', 'x'\ndown_revision = 'a1'",
    "another kind of letter in a comment": "# é\nrevision = 'b2'\ndown_revision = 'a1'",
}

# Files that Alembic understands in another way, or not at all, or that would have to
# be run.
DOUBTFUL = {
    "computed": "revision = 'b' + str(2)\ndown_revision = 'a1'",
    "from a function": "revision = str('b2')\ndown_revision = 'a1'",
    "from another name": "x = 'a1'\nrevision = 'b2'\ndown_revision = x",
    "an f-string": "revision = f'b2'\ndown_revision = 'a1'",
    "bytes": "revision = b'b2'\ndown_revision = 'a1'",
    "a number": "revision = 2\ndown_revision = 'a1'",
    "a set": "revision = 'b2'\ndown_revision = {'a1'}",
    "nested": "revision = 'b2'\ndown_revision = (('a1',),)",
    "an empty string": "revision = 'b2'\ndown_revision = ''",
    "twice": HEAD + "revision = 'c3'\n",
    "twice, the second in a block": HEAD + "if True:\n    revision = 'c3'\n",
    "chained, and computed": "down_revision = x = f()\nrevision = 'b2'",
    "unpacked": "*revision, rest = 'b2', 'a1'\ndown_revision = 'a1'",
    "unpacked in a list": "[revision, down_revision] = ['b2', 'a1']",
    "only in a block": "if True:\n    revision = 'b2'\n    down_revision = 'a1'",
    "only in a string": "'''\n" + HEAD + "'''\n",
    "only in a string, after an import": "import os\n'''\n" + HEAD + "'''\n",
    "only in a call": "dict(\nrevision = 'b2'\n)\ndown_revision = 'a1'",
    "only in a class": "class X:\n    revision = 'b2'\n    down_revision = 'a1'",
    "only in a comment": "# revision = 'b2'\n# down_revision = 'a1'",
    "only annotated": "revision: str\ndown_revision: str",
    "deleted": HEAD + "del revision\n",
    "augmented": HEAD + "revision += '3'\n",
    "a walrus": HEAD + "(revision := 'c3')\n",
    "a loop": HEAD + "for revision in ('c3',):\n    pass\n",
    "a with": HEAD + "import io\nwith io.StringIO() as revision:\n    pass\n",
    "an import": HEAD + "from os import sep as revision\n",
    "an import before": "from os import sep as revision\ndown_revision = 'a1'",
    "an import in brackets": "from os import (\n sep as revision)\n"
    "down_revision = 'a1'",
    "an import of a need": "from os import sep as depends_on\n" + HEAD,
    "an import of a need in brackets": "from os import (\n sep as depends_on\n)\n"
    + HEAD,
    "a star": HEAD + "from os import *\n",
    "a star on two lines": HEAD + "from os import \\\n *\n",
    "a star before": "from os import *\n" + HEAD,
    "a function": HEAD + "def revision():\n    pass\n",
    "a class": HEAD + "class revision:\n    pass\n",
    "an exception": HEAD + "try:\n    1 / 0\nexcept Exception as revision:\n    pass\n",
    "a match": HEAD + "match 'c3':\n    case revision:\n        pass\n",
    "a match of the rest": HEAD + "match {}:\n    case {**revision}:\n        pass\n",
    "a match of a star": HEAD + "match 'c':\n    case [*revision]:\n        pass\n",
    "a global": HEAD + "def f():\n    global revision\n    revision = 'c3'\nf()\n",
    "globals": HEAD + "globals()['rev' + 'ision'] = 'c3'\n",
    "vars": HEAD + "vars ()['rev' + 'ision'] = 'c3'\n",
    "vars, by another name": HEAD + "f = vars\nf()['rev' + 'ision'] = 'c3'\n",
    "locals": HEAD + "locals().update(**{'rev' + 'ision': 'c3'})\n",
    "exec": HEAD + "exec ('rev' + 'ision = 1')\n",
    "exec, by another name": HEAD + "f = exec\nf('rev' + 'ision = 1')\n",
    "eval": HEAD + "eval('(rev' + 'ision := 1)')\n",
    "the module itself": HEAD
    + "import sys\nsetattr(sys.modules[__name__], 'rev' + 'ision', 'c3')\n",
    "its attributes": HEAD + "def f(): pass\nf.__globals__['rev' + 'ision'] = 'c3'\n",
    "attributes on demand": "def __getattr__(name):\n    return 'a1'\n" + HEAD,
    "letters of another kind": HEAD + "\uff52evision = 'c3'\n",
    "letters of another kind, before": "\uff52evision = 'b2'\n" + HEAD,
    "a missing down_revision": "revision = 'b2'",
    "a missing revision": "down_revision = 'a1'",
    "an error of syntax before": "def :\n" + HEAD,
    "itself": "revision = 'b2'\ndown_revision = 'b2'",
    "one that is missing": "revision = 'b2'\ndown_revision = 'zz'",
    "a part of a name": "revision = 'b2'\ndown_revision = 'a'",
    "a need that is missing": HEAD + "depends_on = 'zz'\n",
    "a label that is a revision": HEAD + "branch_labels = 'a1'\n",
    "a circle": "revision = 'b2'\ndown_revision = 'c3'\n",
    "the same again": "revision = 'a1'\ndown_revision = None\n",
    "a character that is not allowed": "revision = 'b-2'\ndown_revision = 'a1'",
    "a word of Alembic's": "revision = 'head'\ndown_revision = 'a1'",
    "bytes that are no text": "revision = 'b2'\ndown_revision = 'a1'\n# \udcff",
}


@pytest.mark.parametrize("text", CERTAIN.values(), ids=CERTAIN)
def test_a_file_that_is_unusual_is_read_as_alembic_does(
    folder: Path, text: str
) -> None:
    plain(folder, "a1", None)
    write(folder, "b2.py", text)
    assert alembics(folder) == HeadsText(("b2",), ("b2",))
    assert ours(folder) == HeadsText(("b2",), ("b2",))


@pytest.mark.parametrize("text", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_file_that_may_mean_something_else_is_left_to_alembic(
    folder: Path, text: str
) -> None:
    plain(folder, "a1", None)
    plain(folder, "c3", "b2")
    write(folder, "b2.py", text)
    assert ours(folder) is None


@pytest.mark.parametrize(
    "name",
    ["b2.pyc", "b2.txt", "__init__.py", "__init__b2.py", ".#b2.py", "b2.py~", "b2py"],
)
def test_a_file_that_is_no_revision_is_left_out(folder: Path, name: str) -> None:
    plain(folder, "a1", None)
    write(folder, name, HEAD)
    assert ours(folder) == alembics(folder) == HeadsText(("a1",), ("a1",))


@pytest.mark.parametrize("recursive", [True, False])
def test_folders_in_the_folder_count_where_that_is_asked_for(
    folder: Path, *, recursive: bool
) -> None:
    plain(folder, "a1", None)
    for name in ("2026", "__pycache__", "2026/__pycache__"):
        (folder / name).mkdir()
    write(folder, "2026/b2.py", HEAD)
    write(folder, "2026/__pycache__/x.py", "not a revision")
    expected = alembics(folder, recursive=recursive)
    assert expected is not None
    assert ours(folder, recursive=recursive) == expected


def test_a_link_is_left_to_alembic(folder: Path, tmp_path: Path) -> None:
    plain(folder, "a1", None)
    write(tmp_path, "x.py", HEAD)
    (folder / "b2.py").symlink_to(tmp_path / "x.py")
    assert ours(folder) is None


def test_a_folder_that_is_listed_twice_is_left_to_alembic(
    folder: Path, tmp_path: Path
) -> None:
    plain(folder, "a1", None)
    other = tmp_path / "other"
    other.symlink_to(folder)
    with pytest.raises(UnsureError):
        read_heads([folder, other], is_recursive=False)


def test_a_head_that_another_branch_depends_on_is_no_row(folder: Path) -> None:
    plain(folder, "a1", None)
    write(folder, "b2.py", "revision = 'b2'\ndown_revision = None\ndepends_on = 'a1'")
    assert ours(folder) == alembics(folder) == HeadsText(("a1", "b2"), ("b2",))

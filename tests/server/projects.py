"""A small factory of Alembic projects on disk, of every shape that people have."""

import io
import textwrap
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from alembic import command
from alembic.config import Config

from dbops.endpoint import Endpoint

INI = """
[alembic]
script_location = %(here)s/migrations
path_separator = os
prepend_sys_path = .
sqlalchemy.url = @URL@
"""

_ENV = """
from alembic import context
from sqlalchemy import create_engine, engine_from_config, pool, text

config = context.config
@head@

def run():
    engine = @engine@
    with @connect@ as connection:
        @before@
        context.configure(connection=connection@options@)
        with context.begin_transaction():
            @inside@
            context.run_migrations()
        @after@

@start@
"""

FROM_CONFIG = (
    "engine_from_config(config.get_section(config.config_ini_section), "
    "prefix='sqlalchemy.', poolclass=pool.NullPool)"
)


def env_py(**parts: str) -> str:
    """Return a synchronous env.py, with some of its parts replaced."""
    usual = {
        "head": "",
        "engine": FROM_CONFIG,
        "connect": "engine.connect()",
        "before": "",
        "options": "",
        "inside": "",
        "after": "",
        "start": "run()",
    }
    return filled(_ENV, {**usual, **parts})


def filled(template: str, parts: Mapping[str, str]) -> str:
    """Replace each `@name@`; a part of several lines keeps its place's indent."""
    lines = []
    for line in template.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        for name, text in parts.items():
            part = textwrap.dedent(text).strip("\n")
            line = line.replace(f"@{name}@", part.replace("\n", f"\n{indent}"))  # noqa: PLW2901 # one after another
        lines.append(line)
    return "\n".join(lines) + "\n"


def revision(
    name: str, down: str | tuple[str, ...] | None, upgrade: str, **more: object
) -> str:
    """Return the text of a revision; `more` are its labels and what it depends on."""
    body = textwrap.indent(textwrap.dedent(upgrade).strip(), "    ")
    others = "".join(f"{key} = {value!r}\n" for key, value in more.items())
    return (
        f'"""do {name}"""\n'
        "import sqlalchemy as sa\n"
        "from alembic import context, op\n"
        "from sqlalchemy.orm import Session\n"
        f"revision, down_revision = {name!r}, {down!r}\n"
        f"{others}"
        f"def upgrade(engine_name=None):\n{body}\n"
        "def downgrade(engine_name=None):\n    pass\n"
    )


def chain(*upgrades: str) -> Mapping[str, str]:
    """Return revisions r1, r2, … that follow each other."""
    return {
        f"migrations/versions/r{n}.py": revision(
            f"r{n}", f"r{n - 1}" if n > 1 else None, upgrade
        )
        for n, upgrade in enumerate(upgrades, start=1)
    }


ORDINARY = chain(
    """
    op.create_table(
        "author",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, server_default="nobody"),
        sa.Column("mood", sa.Enum("glad", "sad", name="mood"), nullable=False,
                  server_default="glad"),
        sa.Column("loud", sa.Text, sa.Computed("upper(name)", persisted=True)),
    )
    """,
    """
    op.create_table(
        "book",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("author_id", sa.BigInteger,
                  sa.ForeignKey("author.id", ondelete="CASCADE")),
        sa.Column("pages", sa.Integer),
        sa.CheckConstraint("pages > 0", name="pages_are_there"),
    )
    op.create_index("ix_book_author", "book", ["author_id"])
    """,
    """
    author = sa.table("author", sa.column("name"), sa.column("mood"))
    op.bulk_insert(author, [{"name": "Ada", "mood": "glad"},
                            {"name": "Bob", "mood": "sad"}])
    connection = op.get_bind()
    names = [row.name for row in connection.execute(sa.text("SELECT * FROM author"))]
    for name in names:
        connection.execute(
            sa.text("UPDATE author SET mood = 'glad' WHERE name = :it"), {"it": name}
        )
    """,
    """
    with op.batch_alter_table("book") as batch:
        batch.add_column(sa.Column("title", sa.Text, server_default="untitled"))
        batch.alter_column("pages", type_=sa.BigInteger)
        batch.create_unique_constraint("one_title", ["title"])
    """,
    """
    op.execute("CREATE VIEW long_book AS SELECT id FROM book WHERE pages > 500")
    op.execute("CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    """,
)


@dataclass(frozen=True)
class Kind:
    """A project that people have.

    Its texts may hold `@URL@`, `@SECOND_URL@`
    (another database), `@HOST@`, `@PORT@`, `@USER@`, `@PASSWORD@` and `@DATABASE@`.
    """

    env: str = env_py()
    revisions: Mapping[str, str] = field(default_factory=lambda: ORDINARY)
    ini: str | None = INI
    template: str | None = None
    """Alembic's own, instead of `env`; its ini or pyproject.toml gets the URL."""
    files: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    """Options of the command line, alike for Alembic and for dbops."""
    driver: str = "psycopg"
    middle: str = "r2"
    """A revision half-way."""
    works_in: str = "."
    """The folder in which the command line is called."""


@dataclass(frozen=True)
class Written:
    """A project on disk that leads to a database."""

    folder: Path
    variables: Mapping[str, str]


def write(kind: Kind, folder: Path, endpoint: Endpoint) -> Written:
    """Write a project that leads to `endpoint`."""
    parts = _parts(kind, endpoint)
    if kind.template is not None:
        _init(kind.template, folder)
    elif kind.ini is not None:
        _write(folder / "alembic.ini", _replaced(kind.ini, parts))
    texts = {**kind.revisions, **kind.files}
    if kind.template is None:
        texts = {"migrations/env.py": kind.env, **texts}
    for name, text in texts.items():
        _write(folder / name, _replaced(text, parts))
    if kind.template is not None:
        _name_databases(folder / "alembic.ini", parts)
    variables = {name: _replaced(it, parts) for name, it in kind.variables.items()}
    (folder / kind.works_in).mkdir(parents=True, exist_ok=True)
    return Written(folder, variables)


def _parts(kind: Kind, endpoint: Endpoint) -> dict[str, str]:
    address, password = endpoint.addresses[0], endpoint.password
    secret = password.get_secret_value() if password else ""
    server = f"{kind.driver}://{endpoint.user}:{secret}@{address}"
    return {
        "URL": f"postgresql+{server}/{endpoint.database}",
        "SECOND_URL": f"postgresql+{server}/{endpoint.database}_2",
        "HOST": address.host,
        "PORT": str(address.port),
        "USER": endpoint.user or "",
        "PASSWORD": secret,
        "DATABASE": endpoint.database or "",
    }


def _replaced(text: str, parts: Mapping[str, str]) -> str:
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _init(template: str, folder: Path) -> None:
    """Do what `alembic init` does."""
    folder.mkdir()
    toml = folder / "pyproject.toml"
    config = Config(
        str(folder / "alembic.ini"),
        toml_file=str(toml) if template.startswith("pyproject") else None,
        stdout=io.StringIO(),
    )
    with redirect_stdout(io.StringIO()):
        command.init(config, str(folder / "migrations"), template=template)


def _name_databases(ini: Path, parts: Mapping[str, str]) -> None:
    placeholder = "sqlalchemy.url = driver://user:pass@localhost/dbname"
    text = ini.read_text()
    for ending, url in (("2", "SECOND_URL"), ("", "URL")):
        text = text.replace(
            f"{placeholder}{ending}\n", f"sqlalchemy.url = {parts[url]}\n"
        )
    ini.write_text(text)

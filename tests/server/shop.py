"""A small project with models, at head, and its database."""

from pathlib import Path

from dbops.engine.connect import connect
from dbops.operations.check.check import check
from dbops.operations.check.verdict import Checked
from dbops.operations.init import init
from dbops.operations.migrate.project import Project
from dbops.operations.migrate.upgrade import migrate
from tests.conftest import Served
from tests.revisions import write_revision

ENV = """
from sqlalchemy import *
from sqlalchemy.dialects.postgresql import *
from dbops.integrations.alembic import run_migrations

metadata = MetaData()

{models}

run_migrations(target_metadata={target}, **{options})
"""

ARTICLE = """
Table(
    "article",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", String(50), nullable=False, comment="shown"),
    Column("price", Integer, server_default="0"),
    Column("note", Text),
    Column("shelf", Integer, ForeignKey("shelf.id", name="fk_shelf")),
    UniqueConstraint("title", name="uq_title"),
    CheckConstraint("price >= 0", name="ck_price"),
    Index("ix_price", "price"),
    comment="for sale",
)
Table("shelf", metadata, Column("id", Integer, primary_key=True))
"""

SCHEMA = """
CREATE TABLE shelf (id serial PRIMARY KEY);
CREATE TABLE article (
    id serial PRIMARY KEY,
    title varchar(50) NOT NULL CONSTRAINT uq_title UNIQUE,
    note text,
    price integer DEFAULT 0 CONSTRAINT ck_price CHECK (price >= 0),
    shelf integer CONSTRAINT fk_shelf REFERENCES shelf
);
CREATE INDEX ix_price ON article (price);
COMMENT ON TABLE article IS 'for sale';
COMMENT ON COLUMN article.title IS 'shown';
"""


class Shop:
    """A project at head, with models; and its database."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.served = served
        self.folder = folder

    @property
    def project(self) -> Project:
        return Project(str(self.folder / "alembic.ini"))

    def model(
        self, models: str, *, target: str = "metadata", options: str = "{}"
    ) -> None:
        env = ENV.format(models=models, target=target, options=options)
        (self.folder / "migrations" / "env.py").write_text(env)

    async def run(self, *statements: str) -> None:
        connection = await connect(self.served.writer)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def check(self, **options: object) -> Checked:
        return await check(self.served.connectors(), self.project, **options)  # type: ignore[arg-type]


async def new_shop(served: Served, folder: Path) -> Shop:
    """Make the project, and a database that is like its models."""
    await init(folder)
    shop = Shop(served, folder)
    shop.model(ARTICLE)
    write_revision(folder, "a1", None, "pass")
    await migrate(served.connectors(), shop.project)
    await shop.run(SCHEMA)
    return shop

"""The kinds of projects that people have."""

from tests.server.projects import (
    INI,
    ORDINARY,
    Kind,
    chain,
    env_py,
    revision,
)

WITHOUT_URL = INI.replace("@URL@", "")
PLACEHOLDER = INI.replace("@URL@", "driver://user:pass@localhost/dbname")

_V = "migrations/versions"

ASYNC = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config, create_async_engine

config = context.config

def do_run_migrations(connection):
    context.configure(connection=connection, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()

async def run_async_migrations():
    engine = async_engine_from_config(
        config.get_section(config.config_ini_section, {}),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await engine.dispose()

"""

MULTIDB = chain(
    "op.execute(f'CREATE TABLE of_{engine_name} (n int)')",
    "op.execute(f'ALTER TABLE of_{engine_name} ADD COLUMN m text')",
    """
    if engine_name == 'engine2':
        op.execute("INSERT INTO of_engine2 VALUES (1, 'x')")
    """,
)

TEMPLATES = {
    "template generic, psycopg": Kind(template="generic"),
    "template generic, psycopg2": Kind(template="generic", driver="psycopg2"),
    "template async, asyncpg": Kind(template="async", driver="asyncpg"),
    "template async, psycopg": Kind(template="async", driver="psycopg_async"),
    "template pyproject": Kind(template="pyproject"),
    "template pyproject_async": Kind(template="pyproject_async", driver="asyncpg"),
    "template multidb": Kind(template="multidb", revisions=MULTIDB),
}

URLS = {
    "percent signs in the URL of the ini": Kind(
        ini=INI.replace(
            "@URL@", "postgresql+psycopg://%%64bops:@PASSWORD@@@HOST@:@PORT@/@DATABASE@"
        ),
    ),
    "DATABASE_URL read by env.py": Kind(
        ini=WITHOUT_URL,
        env=env_py(
            head="""
            import os
            config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])
            """
        ),
        variables={"DATABASE_URL": "@URL@"},
    ),
    "postgres:// replaced by env.py": Kind(
        ini=PLACEHOLDER,
        env=env_py(
            head="""
            import os
            url = os.getenv("DATABASE_URL")
            url = url.replace("postgres://", "postgresql+psycopg://", 1)
            """,
            engine="create_engine(url)",
        ),
        variables={
            "DATABASE_URL": "postgres://@USER@:@PASSWORD@@@HOST@:@PORT@/@DATABASE@"
        },
    ),
    "settings of the project's own": Kind(
        ini=PLACEHOLDER,
        env=env_py(
            head="""
            from app.core.config import settings
            url = str(settings.SQLALCHEMY_DATABASE_URI)
            config.set_main_option("sqlalchemy.url", url)
            """
        ),
        files={
            "app/__init__.py": "",
            "app/core/__init__.py": "",
            "app/core/config.py": """
from pydantic import PostgresDsn, computed_field
from pydantic_settings import BaseSettings, SettingsConfigDict

class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")
    POSTGRES_SERVER: str
    POSTGRES_PORT: int = 5432
    POSTGRES_USER: str
    POSTGRES_PASSWORD: str = ""
    POSTGRES_DB: str = ""

    @computed_field
    @property
    def SQLALCHEMY_DATABASE_URI(self) -> PostgresDsn:
        return PostgresDsn.build(
            scheme="postgresql+psycopg", username=self.POSTGRES_USER,
            password=self.POSTGRES_PASSWORD, host=self.POSTGRES_SERVER,
            port=self.POSTGRES_PORT, path=self.POSTGRES_DB,
        )

settings = Settings()
""",
            ".env": """
POSTGRES_SERVER=@HOST@
POSTGRES_PORT=@PORT@
POSTGRES_USER=@USER@
POSTGRES_PASSWORD=@PASSWORD@
POSTGRES_DB=@DATABASE@
""",
        },
    ),
    "create_engine with a creator": Kind(
        ini=WITHOUT_URL,
        env=env_py(
            head="import psycopg",
            engine="""
            create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(
                host="@HOST@", port=@PORT@, user="@USER@",
                password="@PASSWORD@", dbname="@DATABASE@"))
            """,
        ),
    ),
    "URL.create and -x": Kind(
        ini=WITHOUT_URL,
        env=env_py(
            head="""
            from sqlalchemy import URL
            x = context.get_x_argument(as_dictionary=True)
            url = URL.create("postgresql+psycopg", "@USER@", "@PASSWORD@", "@HOST@",
                             int("@PORT@"), "@DATABASE@")
            assert x["tenant"] == "blue" and "verbose" in x
            """,
            engine="create_engine(url)",
            options=", version_table='version_of_' + x['tenant']",
        ),
        words=("-x", "tenant=blue", "-x", "verbose"),
    ),
    "a section of its own, -n": Kind(
        ini="""
[DEFAULT]
prepend_sys_path = .
[alembic]
script_location = %(here)s/nowhere
sqlalchemy.url = driver://nowhere
[other]
script_location = %(here)s/migrations
sqlalchemy.url = @URL@
""",
        words=("-n", "other"),
    ),
    "-c from another folder": Kind(
        ini=None,
        files={"deploy/db.ini": INI.replace("here)s/", "here)s/../")},
        words=("-c", "../../deploy/db.ini"),
        works_in="some/where",
    ),
    "an app's engine with a pool": Kind(
        ini=WITHOUT_URL,
        env=env_py(head="from shop.db import engine as made", engine="made"),
        files={
            "shop/__init__.py": "",
            "shop/db.py": """
from sqlalchemy import create_engine, event

engine = create_engine("@URL@", pool_size=5, pool_pre_ping=True)

@event.listens_for(engine, "connect")
def connected(dbapi_connection, record):
    with dbapi_connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
    dbapi_connection.commit()
""",
        },
    ),
}

LEDGER = "CREATE TABLE IF NOT EXISTS ledger (n serial, what text)"

TRANSACTIONS = {
    "a pooled engine_from_config": Kind(
        env=env_py(engine="engine_from_config(config.get_section('alembic'))")
    ),
    "engine.begin": Kind(env=env_py(connect="engine.begin()")),
    "connection.begin around all": Kind(
        env=env_py(
            before="transaction = connection.begin()", after="transaction.commit()"
        )
    ),
    "transaction_per_migration=True": Kind(
        env=env_py(options=", transaction_per_migration=True")
    ),
    "transaction_per_migration=False": Kind(
        env=env_py(options=", transaction_per_migration=False")
    ),
    "transaction_per_migration=True within engine.begin": Kind(
        env=env_py(connect="engine.begin()", options=", transaction_per_migration=True")
    ),
    "transactional_ddl=False": Kind(env=env_py(options=", transactional_ddl=False")),
    "AUTOCOMMIT": Kind(
        env=env_py(
            connect="engine.connect().execution_options(isolation_level='AUTOCOMMIT')"
        )
    ),
    "no begin_transaction, a commit at the end": Kind(
        env="""
from alembic import context
from sqlalchemy import create_engine
connection = create_engine("@URL@").connect()
try:
    context.configure(connection=connection)
    context.run_migrations()
    connection.commit()
finally:
    connection.close()
"""
    ),
    "a statement before configure, and a commit": Kind(
        env=env_py(
            before=f"""
            connection.execute(text("{LEDGER}"))
            connection.commit()
            """
        ),
    ),
    "a statement after the run, and a commit": Kind(
        env=env_py(
            after=f"""
            connection.execute(text("{LEDGER}"))
            connection.commit()
            """
        ),
    ),
    "SET LOCAL lock_timeout for all revisions": Kind(
        env=env_py(
            inside="connection.execute(text(\"SET LOCAL lock_timeout = '7s'\"))"
        ),
        revisions=chain(
            *[
                """
                op.execute("CREATE TABLE IF NOT EXISTS seen (value text)")
                op.execute("INSERT INTO seen VALUES (current_setting('lock_timeout'))")
                """
            ]
            * 3
        ),
    ),
    "SET lock_timeout and statement_timeout before configure": Kind(
        env=env_py(
            before="""
            connection.execute(text("SET lock_timeout = '7s'"))
            connection.execute(text("SET statement_timeout = '77s'"))
            connection.commit()
            """
        ),
        revisions=chain(
            *[
                """
                op.execute("CREATE TABLE IF NOT EXISTS seen (a text, b text)")
                op.execute("INSERT INTO seen VALUES (current_setting('lock_timeout'),"
                           "current_setting('statement_timeout'))")
                """
            ]
            * 3
        ),
    ),
    "SET search_path inside the transaction": Kind(
        env=env_py(
            before="""
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS shop"))
            connection.commit()
            """,
            inside='connection.execute(text("SET search_path TO shop, public"))',
            options=", version_table_schema='shop'",
        )
    ),
    "SET LOCAL ROLE inside the transaction": Kind(
        env=env_py(
            before="""
            for grant in (
                "GRANT CREATE ON SCHEMA public TO pg_monitor",
                "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32))",
                "GRANT ALL ON alembic_version TO pg_monitor",
            ):
                connection.execute(text(grant))
            connection.commit()
            """,
            inside="connection.execute(text('SET LOCAL ROLE pg_monitor'))",
        ),
        revisions=chain(*[f"op.execute('CREATE TABLE t{n} (n int)')" for n in "abc"]),
    ),
    "LOCK TABLE alembic_version": Kind(
        env=env_py(
            inside="""
            context.get_context()._ensure_version_table()
            connection.execute(
                text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            )
            """
        )
    ),
    "pg_advisory_xact_lock inside": Kind(
        env=env_py(inside='connection.execute(text("SELECT pg_advisory_xact_lock(7)"))')
    ),
    "pg_advisory_lock before, in autobegun transaction": Kind(
        env=env_py(
            before='connection.execute(text("SELECT pg_advisory_lock(7)"))',
            after="""
            connection.execute(text("SELECT pg_advisory_unlock(7)"))
            connection.commit()
            """,
        )
    ),
    "pg_advisory_lock on another connection": Kind(
        env=env_py(
            before="""
            guard = engine.connect()
            guard.execute(text("SELECT pg_advisory_lock(8)"))
            """,
            after="guard.close()",
        )
    ),
}

TENANTS = """
for schema in ("blue", "red"):
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
        connection.execute(text(f"SET search_path TO {schema}"))
        connection.commit()
        connection.dialect.default_schema_name = schema
        context.configure(connection=connection, version_table_schema=schema)
        with context.begin_transaction():
            context.run_migrations()
"""

OPTIONS = {
    "include_schemas and version_table_schema": Kind(
        env=env_py(
            before="""
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS meta"))
            connection.commit()
            """,
            options=", include_schemas=True, version_table_schema='meta'",
        )
    ),
    "a version table of another name": Kind(
        env=env_py(options=", version_table='shop_version'")
    ),
    "a version table with long identifiers, made by env.py": Kind(
        env=env_py(
            before="""
            connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version "
                                    "(version_num varchar(255) PRIMARY KEY)"))
            connection.commit()
            """,
            options=", version_table_pk=False",
        ),
        revisions={
            f"{_V}/{n}.py": revision(
                f"r{n}" + "_with_a_very_long_name" * 2 * (n != 2),
                {1: None, 2: "r1" + "_with_a_very_long_name" * 2, 3: "r2"}[n],
                f"op.execute('CREATE TABLE t{n} (n int)')",
            )
            for n in (1, 2, 3)
        },
    ),
    "comparing and naming options, and models": Kind(
        env=env_py(
            head="from models import Base, include_object, no_empty",
            options=", target_metadata=Base.metadata, compare_type=True,"
            "compare_server_default=True, include_object=include_object,"
            "process_revision_directives=no_empty, render_as_batch=True,"
            "user_module_prefix='m.'",
        ),
        files={
            "models.py": """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention={"ix": "ix_%(column_0_label)s"})

def include_object(object, name, type_, reflected, compare_to):
    return name != "spatial_ref_sys"

def no_empty(context, revision, directives):
    if context.config.cmd_opts.autogenerate:
        directives[:] = []
"""
        },
    ),
    "on_version_apply of its own": Kind(
        env=env_py(
            head="""
            def audited(ctx, step, heads, run_args):
                ctx.connection.execute(text(
                    "CREATE TABLE IF NOT EXISTS audit (what text, heads text)"))
                ctx.connection.execute(text("INSERT INTO audit VALUES (:it, :heads)"),
                    {"it": step.up_revision_id, "heads": str(sorted(heads))})
            """,
            options=", on_version_apply=audited",
        )
    ),
    "a schema for each tenant, one engine": Kind(
        env=env_py(connect="engine.connect()").split("def run")[0]
        + "engine = create_engine('@URL@')\n"
        + TENANTS
    ),
    "schema_translate_map": Kind(
        env=env_py(
            connect="engine.connect().execution_options("
            "schema_translate_map={'tenant': 'blue'})",
            before="""
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS blue"))
            connection.commit()
            """,
        ),
        revisions=chain(
            "op.create_table('a', sa.Column('n', sa.Integer), schema='tenant')",
            "op.create_table('b', sa.Column('n', sa.Integer), schema='tenant')",
            "op.create_table('c', sa.Column('n', sa.Integer), schema='tenant')",
        ),
    ),
    "arguments for the revisions": Kind(
        env=env_py().replace("run_migrations()", "run_migrations(engine_name='it')"),
        revisions=chain(
            *[f"op.execute(f'CREATE TABLE {{engine_name}}{n} (n int)')" for n in "abc"]
        ),
    ),
    "-x read by a revision": Kind(
        revisions=chain(
            *[
                f"op.execute('CREATE TABLE ' + context.get_x_argument("
                f"as_dictionary=True)['name'] + '{n} (n int)')"
                for n in "abc"
            ]
        ),
        words=("-x", "name=blue"),
    ),
}

_T = "op.execute('CREATE TABLE {} (n int)')"


def _graph(folder: str = _V, **revisions: tuple[object, ...]) -> dict[str, str]:
    """Return revisions by name: what is before them, and what they depend on."""
    return {
        f"{folder}/{name}.py": revision(
            name,
            it[0],  # type: ignore[arg-type]
            _T.format(name),
            **dict(zip(("depends_on", "branch_labels"), it[1:], strict=False)),
        )
        for name, it in revisions.items()
    }


GRAPHS = {
    "two heads": Kind(revisions=_graph(r1=(None,), r2=("r1",), r3=("r1",))),
    "branches, a merge and what follows": Kind(
        revisions=_graph(
            r1=(None,),
            a2=("r1",),
            a3=("a2",),
            b2=("r1",),
            m4=(("a3", "b2"),),
            r5=("m4",),
        ),
        middle="a2",
    ),
    "several bases, labels and depends_on": Kind(
        revisions=_graph(
            r1=(None, None, ("shop",)),
            r2=("r1",),
            u1=(None, "r2", ("users",)),
            u2=("u1",),
            r3=("r2", ("u1",)),
        ),
        middle="users@u1",
    ),
    "several version_locations": Kind(
        ini=INI + "version_locations = %(here)s/migrations/versions:shop/versions\n",
        revisions={
            **_graph(r1=(None,), r2=("r1",)),
            **_graph("shop/versions", s1=(None,), s2=("s1", "r2")),
        },
        middle="s1",
    ),
    "version_locations of old, apart by spaces": Kind(
        ini=INI.replace("path_separator = os\n", "")
        + "version_locations = migrations/versions shop/versions\n",
        revisions={
            **_graph(r1=(None,), r2=("r1",)),
            **_graph("shop/versions", s1=(None,), s2=("s1",)),
        },
    ),
    "recursive_version_locations": Kind(
        ini=INI + "recursive_version_locations = true\n",
        revisions={
            **_graph(f"{_V}/2024", r1=(None,)),
            **_graph(f"{_V}/2025/01", r2=("r1",)),
            **_graph(r3=("r2",)),
        },
    ),
    "a script_location inside of a package": Kind(
        ini=INI.replace("%(here)s/migrations", "shop:db/migrations"),
        revisions={
            **{
                name.replace("migrations/", "shop/db/migrations/"): text
                for name, text in ORDINARY.items()
            },
            "shop/__init__.py": "",
            "shop/db/migrations/env.py": env_py(),
        },
    ),
    "revisions that import each other's helpers": Kind(
        revisions=chain(
            *[
                f"""
                from migrations.helpers import table
                op.execute(table("{n}"))
                """
                for n in "abc"
            ]
        ),
        files={
            "migrations/__init__.py": "",
            "migrations/helpers.py": "def table(name):\n"
            "    return f'CREATE TABLE {name} (n int)'\n",
        },
    ),
}

CONCURRENTLY = """
with op.get_context().autocommit_block():
    op.create_index("{0}", "a", ["n"], postgresql_concurrently=True,
                    if_not_exists=True)
"""

REVISIONS = {
    "CREATE INDEX CONCURRENTLY in an autocommit_block": Kind(
        revisions=chain(
            _T.format("a"),
            CONCURRENTLY.format("i1"),
            CONCURRENTLY.format("i2"),
            "op.execute('DROP INDEX i1')",
        )
    ),
    "CREATE INDEX CONCURRENTLY, asyncpg": Kind(
        driver="asyncpg",
        env=ASYNC + "asyncio.run(run_async_migrations())\n",
        revisions=chain(
            _T.format("a"), CONCURRENTLY.format("i1"), CONCURRENTLY.format("i2")
        ),
    ),
    "CREATE INDEX CONCURRENTLY, psycopg2": Kind(
        driver="psycopg2",
        revisions=chain(
            _T.format("a"), CONCURRENTLY.format("i1"), CONCURRENTLY.format("i2")
        ),
    ),
    "a value added to an enum, used by the next revision": Kind(
        env=env_py(options=", transaction_per_migration=True"),
        revisions=chain(
            "op.execute(\"CREATE TYPE mood AS ENUM ('sad')\")\n"
            "op.execute('CREATE TABLE p (m mood)')",
            "with op.get_context().autocommit_block():\n"
            "    op.execute(\"ALTER TYPE mood ADD VALUE IF NOT EXISTS 'glad'\")",
            "op.execute(\"INSERT INTO p VALUES ('glad')\")",
        ),
    ),
    "COMMIT by hand": Kind(
        driver="psycopg2",
        revisions=chain(
            _T.format("a"),
            "op.execute('COMMIT')\nop.execute('CREATE INDEX CONCURRENTLY i ON a (n)')",
            _T.format("b"),
        ),
    ),
    "COMMIT and BEGIN by hand, psycopg2": Kind(
        driver="psycopg2",
        revisions=chain(
            _T.format("a"),
            "op.execute('COMMIT')\nop.execute('VACUUM a')\nop.execute('BEGIN')",
            _T.format("b"),
        ),
    ),
    "an ORM session that commits": Kind(
        revisions=chain(
            _T.format("a"),
            """
            session = Session(bind=op.get_bind())
            session.execute(sa.text("INSERT INTO a VALUES (1)"))
            session.commit()
            session.execute(sa.text("INSERT INTO a VALUES (2)"))
            session.commit()
            session.close()
            """,
            "op.execute('CREATE TABLE later (n int)')",
        )
    ),
    "an ORM session that flushes, asyncpg": Kind(
        driver="asyncpg",
        env=ASYNC + "asyncio.run(run_async_migrations())\n",
        revisions=chain(
            _T.format("a"),
            """
            with Session(bind=op.get_bind()) as session:
                session.execute(sa.text("INSERT INTO a VALUES (1)"))
                session.flush()
                session.commit()
            """,
            _T.format("b"),
        ),
    ),
    "several statements in one": Kind(
        revisions=chain(
            *[
                f"op.execute('CREATE TABLE {n} (n int); COMMENT ON TABLE {n} IS NULL;')"
                for n in "abc"
            ]
        )
    ),
    "an isolation level of its own for a revision's second connection": Kind(
        revisions=chain(
            _T.format("a"),
            """
            engine = op.get_bind().engine
            with engine.connect() as other:
                other.execution_options(isolation_level="AUTOCOMMIT")
                other.execute(sa.text("CREATE TABLE elsewhere (n int)"))
            """,
            _T.format("b"),
        )
    ),
    "no revisions at all but empty ones": Kind(revisions=chain("pass", "pass", "pass")),
}

ODDITIES = {
    "get_event_loop().run_until_complete": Kind(
        driver="asyncpg",
        env=ASYNC
        + "asyncio.get_event_loop().run_until_complete(run_async_migrations())\n",
    ),
    "a new event loop, kept": Kind(
        driver="asyncpg",
        env=ASYNC + "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\n"
        "loop.run_until_complete(run_async_migrations())\n",
    ),
    "asyncio.run in a thread": Kind(
        driver="asyncpg",
        env=ASYNC + "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as threads:\n"
        "    threads.submit(lambda: asyncio.run(run_async_migrations())).result()\n",
    ),
    "a task where a loop runs, asyncio.run elsewhere": Kind(
        driver="asyncpg",
        env=ASYNC
        + """
try:
    loop = asyncio.get_running_loop()
except RuntimeError:
    asyncio.run(run_async_migrations())
else:
    loop.create_task(run_async_migrations())
""",
    ),
    "an AsyncEngine around engine_from_config, dbops' settings besides": Kind(
        driver="asyncpg",
        ini=WITHOUT_URL,
        env="""
import asyncio
import os
from alembic import context
from sqlalchemy import engine_from_config, pool
from sqlalchemy.ext.asyncio import AsyncEngine

connectable = context.config.attributes.get("connection", None)
if connectable is None:
    section = context.config.get_section(context.config.config_ini_section) or {}
    if not section.get("sqlalchemy.url"):
        section["sqlalchemy.url"] = os.environ["SHOP_URL"]
    connectable = AsyncEngine(
        engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    )

def run_migrations(connection):
    if connection.in_transaction():
        connection.commit()
    transaction = connection.begin()
    try:
        context.configure(connection=connection, transaction_per_migration=True)
        context.run_migrations()
        transaction.commit()
    except Exception:
        transaction.rollback()
        raise

async def run():
    async with connectable.connect() as connection:
        await connection.run_sync(run_migrations)

asyncio.run(run())
""",
        variables={
            "SHOP_URL": "@URL@",
            "DATABASE_URL": "postgresql://@USER@:@PASSWORD@@@HOST@:@PORT@/@DATABASE@",
        },
    ),
    "async engine.begin": Kind(
        driver="asyncpg",
        env=ASYNC.replace("engine.connect()", "engine.begin()")
        + "asyncio.run(run_async_migrations())\n",
    ),
    "an async engine that is made by hand, and kept": Kind(
        driver="asyncpg",
        ini=WITHOUT_URL,
        env=ASYNC.replace("await engine.dispose()", "pass")
        + """
engine = create_async_engine("@URL@", pool_size=2)
async def run():
    async with engine.connect() as connection:
        await connection.run_sync(do_run_migrations)
asyncio.run(run())
""",
    ),
    "the full-stack template": Kind(
        ini=PLACEHOLDER,
        env=env_py(
            head="""
            from app.config import get_url
            target_metadata = None
            configuration = config.get_section(config.config_ini_section)
            configuration["sqlalchemy.url"] = get_url()
            """,
            engine="engine_from_config(configuration, prefix='sqlalchemy.',"
            " poolclass=pool.NullPool)",
            options=", target_metadata=target_metadata, compare_type=True",
        ),
        files={
            "app/__init__.py": "",
            "app/config.py": "def get_url():\n    return '@URL@'",
        },
    ),
    "Flask-Migrate's": Kind(
        ini=INI.replace("sqlalchemy.url = @URL@\n", ""),
        env="""
import logging
from alembic import context
from shop import current_app

config = context.config
logger = logging.getLogger("alembic.env")

def get_engine():
    try:
        return current_app.extensions["migrate"].db.get_engine()
    except (TypeError, AttributeError):
        return current_app.extensions["migrate"].db.engine

def get_engine_url():
    return get_engine().url.render_as_string(hide_password=False).replace("%", "%%")

config.set_main_option("sqlalchemy.url", get_engine_url())
target_db = current_app.extensions["migrate"].db

def get_metadata():
    if hasattr(target_db, "metadatas"):
        return target_db.metadatas[None]
    return target_db.metadata

def run_migrations_online():
    def process_revision_directives(context, revision, directives):
        if getattr(config.cmd_opts, "autogenerate", False):
            directives[:] = []

    conf_args = current_app.extensions["migrate"].configure_args
    if conf_args.get("process_revision_directives") is None:
        conf_args["process_revision_directives"] = process_revision_directives
    connectable = get_engine()
    with connectable.connect() as connection:
        context.configure(
            connection=connection, target_metadata=get_metadata(), **conf_args
        )
        with context.begin_transaction():
            context.run_migrations()

run_migrations_online()
""",
        files={
            "shop.py": """
from types import SimpleNamespace
from sqlalchemy import MetaData, create_engine

db = SimpleNamespace(engine=create_engine("@URL@"), metadata=MetaData())
migrate = SimpleNamespace(db=db, configure_args={"compare_type": True})
current_app = SimpleNamespace(extensions={"migrate": migrate})
"""
        },
    ),
    "pytest-alembic's": Kind(
        env=env_py(
            head="""
            connectable = context.config.attributes.get("connection", None)
            if connectable is None:
                connectable = create_engine("@URL@")
            """,
            engine="connectable",
        )
    ),
    "a connection that is lent, or else an engine": Kind(
        env="""
from alembic import context
from sqlalchemy import create_engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

lent = context.config.attributes.get("connection")
if lent is not None:
    run(lent)
else:
    with create_engine("@URL@").connect() as connection:
        run(connection)
""",
    ),
    "an env.py that prints": Kind(
        env=env_py(
            head="""
            import sys
            print("Running migrations on", config.get_main_option("sqlalchemy.url"))
            """,
            after="""
            sys.stdout.write("done\\n")
            config.print_stdout("so says Alembic")
            """,
        )
    ),
    "an env.py that configures the log anew": Kind(
        env=env_py(
            head="""
            import logging, logging.config, sys
            logging.config.fileConfig(config.config_file_name)
            logging.disable(logging.WARNING)
            """
        ),
        ini=INI
        + """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = DEBUG
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stdout,)
formatter = plain
[formatter_plain]
format = %(levelname)s %(message)s
""",
    ),
    "sys.path by hand, and relative paths": Kind(
        ini=INI.replace("prepend_sys_path = .\n", "").replace("%(here)s/", ""),
        env=env_py(
            head="""
            import os, sys
            sys.path.insert(0, os.path.realpath(os.path.join(
                os.path.dirname(__file__), "..", "src")))
            from shop_models import names
            assert open("names.txt").read() == names
            """
        ),
        files={"src/shop_models.py": "names = 'a'", "names.txt": "a"},
    ),
    "sys.exit at the end": Kind(env=env_py(start="import sys\nrun()\nsys.exit(0)")),
    "tries again when the server is not there yet": Kind(
        env=env_py(
            start="""
            import time
            from sqlalchemy.exc import OperationalError
            for attempt in range(5):
                try:
                    run()
                    break
                except OperationalError:
                    time.sleep(1)
            """
        )
    ),
    "catches everything and raises it again": Kind(
        env=env_py(
            start="""
            import logging
            try:
                run()
            except Exception:
                logging.exception("failed")
                raise
            """
        )
    ),
    "a lock of its own on the version table's rows, and a check afterwards": Kind(
        env=env_py(
            inside="""
            here = context.get_context().get_current_heads()
            there = context.get_head_revision()
            """,
            after="""
            from alembic.runtime.migration import MigrationContext
            again = MigrationContext.configure(connection).get_current_heads()
            """,
        )
    ),
    "warnings as errors": Kind(
        env=env_py(head="import warnings\nwarnings.simplefilter('error')")
    ),
    "changes the folder": Kind(env=env_py(head="import os\nos.chdir('migrations')")),
}
KINDS = {
    **TEMPLATES,
    **URLS,
    **TRANSACTIONS,
    **OPTIONS,
    **GRAPHS,
    **REVISIONS,
    **ODDITIES,
}

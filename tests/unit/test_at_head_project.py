"""What is read of a project's configuration and its env.py without running them."""

from collections.abc import Mapping
from pathlib import Path

import alembic
import pytest

from dbops.endpoint import parse_url
from dbops.engine.connect import Connectors
from dbops.operations.init import starter_folder
from dbops.operations.migrate.at_head import connector_to, heads_of
from dbops.operations.migrate.at_head.config import ConfigText, read_config
from dbops.operations.migrate.at_head.env import Leads, read_env
from dbops.operations.migrate.at_head.unsure import UnsureError
from dbops.operations.migrate.project import Project
from dbops.settings import load_settings

TEMPLATES = Path(alembic.__file__).parent / "templates"
GENERIC = (TEMPLATES / "generic" / "env.py").read_text()
ASYNC = (TEMPLATES / "async" / "env.py").read_text()
OURS = (starter_folder() / "migrations" / "env.py").read_text()
URL = "postgresql+psycopg://user:pass%40word@host:6432/name"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one revision, in the current folder."""
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "a1.py").write_text("revision = 'a1'\ndown_revision = None\n")
    (tmp_path / "migrations" / "env.py").write_text(GENERIC)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ini(project: Path, *lines: str, section: str = "alembic") -> None:
    text = "\n".join([f"[{section}]", *lines])
    (project / "alembic.ini").write_text(text + "\n")


def toml(project: Path, *lines: str, name: str = "pyproject.toml") -> None:
    (project / name).write_text("\n".join(["[tool.alembic]", *lines]) + "\n")


def told(config_file: str | None, section: str = "alembic") -> Mapping[str, object]:
    """Return what Alembic itself makes of a configuration."""
    script = Project(config_file, section=section).script
    return {
        "env_file": Path(script.env_py_location).absolute(),
        "version_folders": tuple(script._version_locations),  # noqa: SLF001 # no other way
        "is_recursive": script.recursive_version_locations,
    }


def read(config_file: str | None, section: str = "alembic") -> Mapping[str, object]:
    found: ConfigText = read_config(config_file, section)
    return {name: value for name, value in found._asdict().items() if name != "options"}


LOCATION = "script_location = %(here)s/migrations"
INIS = {
    "relative": ["script_location = migrations"],
    "here": [LOCATION],
    "another place for the revisions": [LOCATION, "version_locations = other"],
    "split at os": [
        LOCATION,
        "version_locations = a:%(here)s/b",
        "path_separator = os",
    ],
    "split at spaces": [LOCATION, "version_locations = a b", "path_separator = space"],
    "split at lines": [
        LOCATION,
        "version_locations =\n  a\n  b c",
        "path_separator = newline",
    ],
    "split at a colon": [LOCATION, "version_locations = a:b", "path_separator = :"],
    "split at a semicolon": [LOCATION, "version_locations = a;b", "path_separator = ;"],
    "split by a name of its own": [
        LOCATION,
        "%% = 1",
        "place = a",
        "version_locations = %(place)s",
    ],
    "recursive": [LOCATION, "recursive_version_locations = true"],
    "not recursive": [LOCATION, "recursive_version_locations = True"],
    "an empty list": [LOCATION, "version_locations ="],
    "with a default": [LOCATION, "[DEFAULT]", "version_locations = other"],
    "commas": [LOCATION, "version_locations = a, b c"],
    "a separator of former times": [
        LOCATION,
        "version_locations = a;b",
        "version_path_separator = ;",
    ],
    "another way to write it": ["SCRIPT_LOCATION: migrations"],
}


# About separators of former times.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("lines", INIS.values(), ids=INIS)
def test_an_ini_file_leads_where_alembic_goes(project: Path, lines: list[str]) -> None:
    ini(project, *lines)
    assert read(None) == told(None)
    assert read("alembic.ini") == told("alembic.ini")


def test_another_section_does_too(project: Path) -> None:
    ini(project, LOCATION, "[other]", "script_location = elsewhere")
    (project / "elsewhere").mkdir()
    assert read(None, "other") == told(None, "other")


def test_another_folder_does_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ini(project, LOCATION)
    monkeypatch.chdir(project / "migrations")
    file = "../alembic.ini"
    assert Path(read(file)["env_file"]).samefile(told(file)["env_file"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lines",
    [
        ["script_location = '%(here)s/migrations'"],
        ["script_location = 'migrations'", "version_locations = ['a', '%(here)s/b']"],
        ["script_location = 'migrations'", "recursive_version_locations = true"],
    ],
)
@pytest.mark.parametrize("file", [None, "pyproject.toml"])
def test_a_toml_file_does_too(
    project: Path, lines: list[str], file: str | None
) -> None:
    (project / "alembic.ini").unlink()
    toml(project, *lines)
    assert read(file) == told(file)


def test_an_ini_file_wins_over_a_toml_file(project: Path) -> None:
    toml(project, "script_location = 'other'", "version_locations = ['a']")
    assert read(None) == told(None)


UNREADABLE = {
    "no place": [],
    "a package": ["script_location = package:migrations"],
    "compiled revisions": [LOCATION, "sourceless = true"],
    "a separator that is none": [
        LOCATION,
        "version_locations = a",
        "path_separator = x",
    ],
    "an empty place": [LOCATION, "version_locations = a: :b", "path_separator = os"],
    "a package of revisions": [LOCATION, "version_locations = a:b"],
    "a name that is not there": [LOCATION, "x = %(nothing)s"],
    "a percent sign": [LOCATION, "file_template = %(year)d"],
    "twice": [LOCATION, LOCATION],
    "no section": ["[other]", LOCATION],
    "options of the engine": [LOCATION, "sqlalchemy.connect_args = x"],
    "options by default": [LOCATION, "[DEFAULT]", "sqlalchemy.pool_size = 1"],
}


@pytest.mark.parametrize("lines", UNREADABLE.values(), ids=UNREADABLE)
def test_a_configuration_that_is_odd_is_left_to_alembic(
    project: Path, lines: list[str]
) -> None:
    assert heads_of(None) is not None
    ini(project, *lines)
    assert heads_of(None) is None


def test_two_configurations_that_may_both_be_meant_are_left_to_alembic(
    project: Path,
) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "alembic.ini").write_text(
        "[alembic]\nscript_location = migrations\n"
    )
    assert heads_of("sub/alembic.ini") is not None
    toml(project, "version_locations = ['x']")
    assert heads_of("sub/alembic.ini") is None
    toml(project / "sub", "version_locations = ['x']")
    assert heads_of("sub/alembic.ini") is None
    (project / "pyproject.toml").unlink()
    found = heads_of("sub/alembic.ini")
    assert found is not None
    assert found.heads == ()


def test_without_a_project_or_with_arguments_alembic_is_asked(project: Path) -> None:
    assert heads_of("nowhere.ini") is None
    assert heads_of(None, section="nowhere") is None
    assert heads_of(None, x_arguments=("tenant=a",)) is None
    (project / "migrations" / "env.py").unlink()
    assert heads_of(None) is None


@pytest.mark.parametrize(
    ("template", "leads"),
    [
        ("generic", Leads.TO_THE_CONFIGURED),
        ("async", Leads.TO_THE_CONFIGURED),
        ("pyproject", Leads.TO_THE_CONFIGURED),
        ("pyproject_async", Leads.TO_THE_CONFIGURED),
        ("multidb", None),
    ],
)
def test_alembics_own_templates_are_known(template: str, leads: Leads | None) -> None:
    source = (TEMPLATES / template / "env.py").read_bytes()
    assert leads_of(source.decode()) is leads


def leads_of(text: str) -> Leads | None:
    try:
        return read_env(text.encode())
    except (UnsureError, SyntaxError):
        return None


ONLINE = "connection=connection, target_metadata=target_metadata"
CONFIG = "config = context.config\n"
METADATA = "target_metadata = None\n"
FORMER = """
async def run_migrations_online():
    connectable = AsyncEngine(
        engine_from_config(
            config.get_section(config.config_ini_section),
            prefix="sqlalchemy.",
            poolclass=pool.NullPool,
            future=True,
        )
    )

    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)

    await connectable.dispose()


if context.is_offline_mode():
    run_migrations_offline()
else:
    asyncio.run(run_migrations_online())
"""


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


HARMLESS = {
    "models": changed(
        GENERIC,
        METADATA,
        "from app.models import Base\ntarget_metadata = Base.metadata\n",
    ),
    "several models": changed(
        GENERIC, METADATA, "import a\ntarget_metadata = [a.b, a.c]\n"
    ),
    "options": changed(
        GENERIC, ONLINE, f"{ONLINE}, compare_type=True, include_object=only_ours"
    ).replace(METADATA, METADATA + "def only_ours(*_):\n    return call()\n"),
    "a folder for imports": changed(
        GENERIC,
        CONFIG,
        "import os, sys\nfrom pathlib import Path\n"
        "sys.path.insert(0, os.path.dirname(__file__))\n"
        "sys.path.append(str(Path(__file__).resolve().parents[1]))\n" + CONFIG,
    ),
    "a logger": changed(
        GENERIC, CONFIG, CONFIG + "import logging\nlogger = logging.getLogger('x')\n"
    ),
    "another log": changed(
        GENERIC,
        "fileConfig(config.config_file_name)",
        "fileConfig(config.config_file_name, disable_existing_loggers=False)",
    ),
    "no default": changed(
        GENERIC, "config.config_ini_section, {}", "config.config_ini_section"
    ),
    "no types": changed(ASYNC, "connection: Connection) -> None", "connection)"),
    "started at once": changed(
        changed(
            ASYNC, "async def run_async_migrations", "async def run_migrations_online"
        ),
        "    run_migrations_online()\n",
        "    asyncio.run(run_migrations_online())\n",
    ).replace(
        ASYNC[
            ASYNC.index("def run_migrations_online") : ASYNC.index("if context.is_o")
        ],
        "",
    ),
    "of former times": "from sqlalchemy import engine_from_config\n"
    "from sqlalchemy.ext.asyncio import AsyncEngine\n"
    + ASYNC[: ASYNC.index("async def run_async_migrations")]
    + FORMER,
    "online alone": changed(
        GENERIC,
        GENERIC[GENERIC.index("if context.is_offline") :],
        "run_migrations_online()\n",
    ),
    "offline as it likes": changed(
        GENERIC, 'url = config.get_main_option("sqlalchemy.url")', "url = wherever()"
    ),
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_nothing_is_no_reason_to_doubt(text: str) -> None:
    assert leads_of(text) is Leads.TO_THE_CONFIGURED


FROM_ENVIRONMENT = 'config.set_main_option("sqlalchemy.url", {})\n'


@pytest.mark.parametrize(
    "value",
    [
        'os.environ["DATABASE_URL"]',
        'os.environ.get("DATABASE_URL")',
        'os.getenv("DATABASE_URL")',
        "os.getenv('DATABASE_URL', 'postgresql://localhost/x')",
    ],
)
def test_a_url_of_the_environment_is_known(value: str) -> None:
    lines = "import os\n" + CONFIG + FROM_ENVIRONMENT.format(value)
    assert leads_of(changed(GENERIC, CONFIG, lines)) is Leads.TO_DATABASE_URL


@pytest.mark.parametrize(
    "lines",
    [
        "url = os.environ['DATABASE_URL']\n",
        "url: str = os.getenv('DATABASE_URL', '')\nif url:\n    ",
    ],
)
def test_a_url_of_the_environment_may_have_a_name(lines: str) -> None:
    text = with_line(lines + FROM_ENVIRONMENT.format("url"))
    assert leads_of(text) is Leads.TO_DATABASE_URL


@pytest.mark.parametrize(
    "lines",
    [
        "url = os.environ['OTHER_URL']",
        "url = os.environ['DATABASE_URL']\nurl = 'postgresql://a:b@c/d'",
        "url = os.environ['DATABASE_URL']\nfrom app import url",
        "url = os.environ['DATABASE_URL'] + '_test'",
        "url = os.environ['DATABASE_URL']\nurl = url.replace('a', 'b')",
        "url = os.environ['DATABASE_URL']\nif not url:\n    url = 'x'",
        "url = os.environ['DATABASE_URL']\ndef url():\n    pass",
    ],
)
def test_the_name_has_to_be_the_urls(lines: str) -> None:
    assert leads_of(with_line(lines + "\n" + FROM_ENVIRONMENT.format("url"))) is None


def with_line(line: str) -> str:
    return changed(GENERIC, CONFIG, "import os\n" + CONFIG + line + "\n")


DOUBTFUL = {
    "another variable": with_line(FROM_ENVIRONMENT.format('os.environ["DB_URL"]')),
    "a URL that is computed": with_line(FROM_ENVIRONMENT.format("settings.url")),
    "another option": with_line("config.set_main_option('version_locations', 'x')"),
    "another section": with_line("config.set_section_option('alembic', 'a', 'b')"),
    "an x argument": with_line("x = context.get_x_argument(as_dictionary=True)"),
    "an attribute": with_line("config.attributes['a'] = 1"),
    "a call": with_line("load_dotenv()"),
    "a value that is called": with_line("settings = get_settings()"),
    "a value in a comprehension": with_line("a = [f() for f in g]"),
    "a star": with_line("from app.models import *"),
    "a condition": with_line("if os.environ['A']:\n    x = 1"),
    "an attempt": with_line("try:\n    import a\nexcept ImportError:\n    pass"),
    "a URL where there is a file": with_line(
        "if config.config_file_name:\n    "
        + FROM_ENVIRONMENT.format('os.environ["DATABASE_URL"]')
    ),
    "a class": with_line("class X:\n    config.set_main_option('a', 'b')"),
    "a decorator": with_line("@register\ndef f():\n    pass"),
    "a default that is called": with_line("def f(x=g()):\n    pass"),
    "another context": with_line("from other import context"),
    "another engine": with_line("from other import engine_from_config"),
    "another function of a known name": with_line(
        "def engine_from_config(*_):\n    pass"
    ),
    "another class of a known name": with_line("pool = None"),
    "another configuration": changed(GENERIC, CONFIG, "config = other.config\n"),
    "a configuration in its place": with_line("config = context.config"),
    "a str in its place": with_line("def str(_):\n    return f()"),
    "a table of its own": changed(GENERIC, ONLINE, ONLINE + ", version_table='v'"),
    "a schema of its own": changed(
        GENERIC, ONLINE, ONLINE + ", version_table_schema='v'"
    ),
    "options that are computed": changed(GENERIC, ONLINE, ONLINE + ", **options"),
    "an option that is called": changed(GENERIC, ONLINE, ONLINE + ", compare_type=f()"),
    "a statement before": changed(
        GENERIC,
        "        context.configure(\n            connection",
        "        connection.execute(f('SET search_path TO x'))\n"
        "        context.configure(\n            connection",
    ),
    "several databases": changed(
        GENERIC,
        "            context.run_migrations()\n\n\nif",
        "            context.run_migrations()\n    context.configure()\n\n\nif",
    ),
    "another prefix": changed(GENERIC, 'prefix="sqlalchemy."', 'prefix="db."'),
    "more for the engine": changed(
        GENERIC, "poolclass=pool.NullPool", "poolclass=pool.NullPool, connect_args=x"
    ),
    "another start": changed(
        GENERIC, "else:\n    run_migrations_online()", "else:\n    run()"
    ),
    "the wrong way round": changed(
        GENERIC, "if context.is_offline_mode():", "if not context.is_offline_mode():"
    ),
    "no start": GENERIC[: GENERIC.index("if context.is_offline_mode")],
    "something after it": GENERIC + "config.set_main_option('a', 'b')\n",
    "another function": changed(
        GENERIC, "def run_migrations_online", "async def run_migrations_online"
    ),
    "defined twice": changed(
        GENERIC, METADATA, METADATA + "def run_migrations_online():\n    pass\n"
    ),
    "an error of syntax": GENERIC + ")",
    "our own with a table": changed(
        OURS, "run_migrations(", "run_migrations(version_table='v', "
    ),
    "our own with anything": changed(
        OURS, "run_migrations(", "run_migrations(**options, "
    ),
    "our own twice": OURS + "run_migrations()\n",
    "our own by another name": changed(OURS, "dbops.integrations", "other"),
    "our own in a condition": changed(
        OURS, "run_migrations(target", "if x:\n    run_migrations(target"
    ),
    "nothing": "",
}


@pytest.mark.parametrize("text", DOUBTFUL.values(), ids=DOUBTFUL)
def test_an_env_py_that_may_lead_elsewhere_is_left_to_alembic(text: str) -> None:
    assert leads_of(GENERIC) is not None
    assert leads_of(OURS) is Leads.TO_THE_LENT
    assert leads_of(text) is None


async def test_a_url_of_the_configuration_wins_over_the_settings(project: Path) -> None:
    ini(project, LOCATION, "sqlalchemy.url = " + URL.replace("%", "%%"))
    heads = heads_of(None)
    assert heads is not None
    connector = connector_to(heads, Connectors(load_settings()))
    assert connector is not None
    assert (await connector.endpoint()).addresses == parse_url(URL).addresses
    elsewhere = load_settings(flags={"database_url": "postgresql://a@b/c"})
    bound = connector_to(heads, Connectors(elsewhere.bound()))
    assert bound is not None
    assert (await bound.endpoint()).addresses[0].host == "b"


async def test_a_tenants_schema_is_not_that_of_a_url(project: Path) -> None:
    ini(project, LOCATION, "sqlalchemy.url = " + URL.replace("%", "%%"))
    heads = heads_of(None)
    assert heads is not None
    settings = load_settings(flags={"database_url": URL, "tenant_schema": "one"})
    assert connector_to(heads, Connectors(settings)) is None
    assert connector_to(heads, Connectors(settings.bound())) is not None


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@h/d",
        "postgresql+pg8000://u:p@h/d",
        "sqlite:///x",
        "postgresql://u@h/d",
        "postgresql://h/d",
        "postgresql://u:p@h",
        "postgresql://u:p@/d",
        "postgresql://u:p@h,i/d",
        "postgresql://u:p@h/d?options=-csearch_path%%3Dx",
        "postgresql://u:p@h/d?host=other",
        "postgresql://u:p@q@h/d",
        "postgresql://u:p+q@h/d",
    ],
)
def test_a_url_that_drivers_may_read_differently_is_left_to_alembic(
    project: Path, url: str
) -> None:
    ini(project, LOCATION, f"sqlalchemy.url = {url}")
    heads = heads_of(None)
    assert heads is not None
    assert connector_to(heads, Connectors(load_settings())) is None


async def test_the_environments_url_counts_where_it_is_the_environments(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = with_line(FROM_ENVIRONMENT.format('os.environ["DATABASE_URL"]'))
    (project / "migrations" / "env.py").write_text(text)
    heads = heads_of(None)
    assert heads is not None
    url = "postgresql://u:p@writer/d"
    assert (
        connector_to(heads, Connectors(load_settings(flags={"database_url": url})))
        is None
    )
    monkeypatch.setenv("DATABASE_MIGRATION_URL", "postgresql://u:p@other/d")
    monkeypatch.setenv("DATABASE_URL", url)
    connector = connector_to(heads, Connectors(load_settings()))
    assert connector is not None
    assert (await connector.endpoint()).addresses[0].host == "writer"
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p%40@writer/d")
    assert connector_to(heads, Connectors(load_settings())) is None


@pytest.mark.parametrize("name", ["PGOPTIONS", "PGSERVICE", "PGHOSTADDR"])
def test_where_libpq_is_told_more_alembic_is_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    connectors = Connectors(load_settings(flags={"database_url": URL}))
    heads = heads_of(None)
    assert heads is not None
    assert connector_to(heads, connectors) is None
    bound = Connectors(connectors.settings.bound())
    assert connector_to(heads, bound) is None
    (project / "migrations" / "env.py").write_text(OURS)
    heads = heads_of(None)
    assert heads is not None
    assert connector_to(heads, connectors) is not None


def test_only_as_far_as_there_is_counts(project: Path) -> None:
    heads = heads_of(None)
    assert heads is not None
    meant = {
        it for it in ("head", "heads", "a1", "a", "+1", "") if heads.are_meant_by(it)
    }
    assert meant == {"head", "heads", "a1"}
    second = project / "migrations" / "versions" / "b2.py"
    second.write_text("revision = 'b2'\ndown_revision = None\n")
    heads = heads_of(None)
    assert heads is not None
    assert [it for it in ("head", "heads", "a1") if heads.are_meant_by(it)] == ["heads"]

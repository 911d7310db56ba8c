"""What the user said, and which of it counts."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dbops.credentials import Credentials
from dbops.endpoint import Address, Endpoint, Role
from dbops.errors import ConfigError, DbopsError, UsageError
from dbops.settings import (
    Settings,
    child_environment,
    env_name,
    load_settings,
    target_names,
    wanted_format,
)

SENTINEL = "hunter2Sentinel"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a folder and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "KUBERNETES_SERVICE_HOST", "DBOPS_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


Env = Callable[..., None]


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Env:
    """Set variables."""

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


async def endpoint(settings: Settings, role: Role = "writer") -> Endpoint:
    """Return where `role` is, nothing of it in a secret."""
    return await Credentials(settings.access(role)).endpoint()


async def url(settings: Settings, role: Role = "writer") -> str:
    return (await endpoint(settings, role)).url(show_password=True)


SOURCES = ("flag", "environment", "--env-file", ".env", "dbops.toml")


def say(source: str, field: str, value: str, env: Env) -> None:
    """Let `source` say `value`; a flag is the caller's."""
    line = f"{env_name(field)}={value}\n"
    if source == "environment":
        env(**{env_name(field): value})
    elif source == "--env-file":
        Path("extra.env").write_text(line)
    elif source == ".env":
        Path(".env").write_text(line)
    elif source == "dbops.toml":
        Path("dbops.toml").write_text(f'{field} = "{value}"\n')


@pytest.mark.parametrize("field", ["owner", "db_name", "application_name"])
@pytest.mark.parametrize(
    ("higher", "lower"), list(itertools.combinations(SOURCES, 2)), ids=str
)
def test_of_two_sources_the_higher_one_counts(
    higher: str, lower: str, field: str, env: Env
) -> None:
    for source in (lower, higher):
        say(source, field, f"from {source}", env)
    settings = load_settings(
        flags={field: "from flag"} if higher == "flag" else {},
        env_files=[Path("extra.env")] if "--env-file" in (higher, lower) else [],
    )

    assert getattr(settings, field) == f"from {higher}"
    assert settings.sources[field] == higher.replace("--env-file", "extra.env")


def test_the_first_env_file_wins() -> None:
    Path("a").write_text("DB_NAME=a\n")
    Path("b").write_text("DB_NAME=b\nDB_USER=u\n")
    settings = load_settings(env_files=[Path("a"), Path("b")])

    assert (settings.db_name, settings.db_user) == ("a", "u")


def test_nothing_said_is_the_default() -> None:
    settings = load_settings()

    assert settings.pool_size == 5
    assert settings.sources == {}
    assert settings.notices == ()


def test_dbops_toml_hides_pyproject_toml() -> None:
    Path("pyproject.toml").write_text('[tool.dbops]\nowner = "pyproject"\n')
    assert load_settings().owner == "pyproject"
    Path("dbops.toml").write_text('owner = "dbops"\n')

    assert load_settings().owner == "dbops"


def test_a_higher_source_says_where_although_a_lower_one_has_a_secret(
    env: Env,
) -> None:
    env(DATABASE_URL="postgresql://u:p@here/d")
    Path("dbops.toml").write_text('db_secret_id = "prod/db"\n')
    layers = load_settings().access("writer").own

    assert isinstance(layers[0], Endpoint)
    assert layers[0].addresses == (Address("here"),)


async def test_a_host_of_the_environment_wins_over_a_url_of_a_file(env: Env) -> None:
    env(DB_HOST="tunnel", DB_PORT="6000")
    say(".env", "database_url", "postgresql://u:p@prod:5432/d", env)

    assert await url(load_settings()) == (
        "postgresql://u:p@tunnel:6000/d?sslmode=prefer"
    )


async def test_within_one_source_a_url_wins_over_its_parts(env: Env) -> None:
    env(DATABASE_URL="postgresql://u@h/d", DB_HOST="x", DB_USER="y", DB_NAME="z")

    assert await url(load_settings()) == "postgresql://u@h:5432/d?sslmode=prefer"


async def test_the_parts_fill_what_a_url_lacks(env: Env) -> None:
    env(DATABASE_URL="postgresql://u@h", DB_PASSWORD="p", DB_NAME="d", DB_PORT="7")

    assert await url(load_settings()) == "postgresql://u:p@h:5432/d?sslmode=prefer"


async def test_a_url_says_more_than_where(env: Env) -> None:
    env(
        DATABASE_URL="postgresql://u@h1,h2/d?target_session_attrs=read-write"
        "&connect_timeout=3&options=-c%20x%3D1&application_name=me"
    )
    found = await endpoint(load_settings())

    assert found.target_session_attrs == "read-write"
    assert found.connect_timeout_s == 3
    assert (found.options, found.application_name) == ("-c x=1", "me")


async def test_hosts_may_be_several_and_name_their_ports(env: Env) -> None:
    env(DB_HOST="h1,h2:7", DB_USER="u", DB_PORT="6")

    assert (await endpoint(load_settings())).addresses == (
        Address("h1", 5432),
        Address("h2", 7),
    )


async def test_a_socket_is_a_host(env: Env) -> None:
    env(DB_HOST="/run/pg", DB_PORT="6", DB_USER="u")

    assert (await endpoint(load_settings())).addresses == (Address("/run/pg", 6),)


@pytest.mark.parametrize(
    "host", [f"postgresql://u:{SENTINEL}@h/d", f"u:{SENTINEL}@h", f"h:{SENTINEL}", ","]
)
def test_a_url_in_the_place_of_a_host_is_not_repeated(host: str, env: Env) -> None:
    env(DB_HOST=host)
    with pytest.raises(ConfigError) as refused:
        load_settings().access("writer")

    assert "DB_HOST from environment" in refused.value.message
    assert SENTINEL not in f"{refused.value}{refused.value.hint}"


def test_the_value_of_a_secret_in_the_place_of_its_name_is_not_repeated(
    env: Env,
) -> None:
    env(DB_SECRET_ID=f'{{"password": "{SENTINEL}"}}')
    with pytest.raises(ConfigError, match="DB_SECRET_ID from environment") as refused:
        load_settings().access("writer")

    assert SENTINEL not in f"{refused.value}{refused.value.hint}"


@pytest.mark.parametrize("name", ["CI", "KUBERNETES_SERVICE_HOST"])
def test_dotenv_is_not_read_by_machines(name: str, env: Env) -> None:
    env(**{name: "true"})
    Path(".env").write_text("DB_NAME=d\n")
    settings = load_settings()

    assert settings.db_name is None
    assert settings.notices == (f".env is not read because {name} is set",)


@pytest.mark.parametrize("value", ["", "false", "0"])
def test_ci_set_to_false_is_no_ci(value: str, env: Env) -> None:
    env(CI=value)
    Path(".env").write_text("DB_NAME=d\n")

    assert load_settings().db_name == "d"


def test_reading_dotenv_is_said() -> None:
    Path(".env").write_text("DB_NAME=d\n")

    assert load_settings().notices == ("settings are read from .env",)


def test_an_env_file_is_read_by_machines_too(env: Env) -> None:
    env(CI="true")
    Path("extra.env").write_text("DB_NAME=d\n")

    assert load_settings(env_files=[Path("extra.env")]).db_name == "d"


def test_a_missing_env_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(env_files=[Path("nowhere.env")])


def test_an_env_file_that_is_no_text_is_an_error() -> None:
    Path("x.env").write_bytes(b"DB_PASSWORD=\xff" + SENTINEL.encode())
    with pytest.raises(ConfigError, match="UTF-8") as refused:
        load_settings(env_files=[Path("x.env")])

    assert refused.value.__cause__ is None
    assert SENTINEL not in str(refused.value)


def test_an_empty_variable_is_unset(env: Env) -> None:
    env(DB_NAME="", DATABASE_ADMIN_URL="", SUPERUSER_DATABASE_URL="postgresql://a/b")
    Path(".env").write_text("DB_NAME=d\nDB_USER=\n")
    Path("dbops.toml").write_text('db_user = "u"\n')
    settings = load_settings()

    assert (settings.db_name, settings.db_user) == ("d", "u")
    assert settings.database_admin_url is not None


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ("DATABASE_ADMIN_URL", "SUPERUSER_DATABASE_URL", "database_admin_url"),
        ("DB_NAME", "DATABASE_NAME", "db_name"),
        ("AWS_REGION_NAME", "AWS_REGION", "aws_region"),
        ("AWS_REGION", "AWS_DEFAULT_REGION", "aws_region"),
        ("DBOPS_POOL_SIZE", "SQLALCHEMY_POOL_SIZE", "pool_size"),
        ("DBOPS_MAX_OVERFLOW", "SQLALCHEMY_MAX_OVERFLOW", "max_overflow"),
        (
            "SQLALCHEMY_MAX_OVERFLOW",
            "SQLALCHEMY_POOL_OVERFLOW_SIZE",
            "max_overflow",
        ),
    ],
)
def test_a_setting_may_have_two_names(
    first: str, second: str, field: str, env: Env
) -> None:
    env(**{second: "2"})
    assert "2" in str(configured(field))
    env(**{first: "1"})

    assert "1" in str(configured(field))


def configured(field: str) -> object:
    value = getattr(load_settings(), field)
    return getattr(value, "get_secret_value", lambda: value)()


@pytest.mark.parametrize(
    ("name", "field", "text", "value"),
    [
        ("DBOPS_LOCK_TIMEOUT", "lock_timeout", "500ms", 0.5),
        ("DBOPS_EXTENSIONS", "extensions", "a, b,", ("a", "b")),
        ("DBOPS_TARGET", "target", "prod,stage", ("prod", "stage")),
        ("DBOPS_PROTECTED", "protected", "true", True),
        ("DB_PORT", "db_port", "6432", 6432),
        ("db_name", "db_name", "lower", "lower"),
    ],
)
def test_a_variable_takes_the_form_of_its_setting(
    name: str, field: str, text: str, value: object, env: Env
) -> None:
    env(**{name: text})

    assert getattr(load_settings(), field) == value


BAD = [
    ("db_port", "x"), ("pool_size", "-1"), ("timeout", "5"), ("timeout", "soon"),
    ("connect_timeout", "9" * 400 + "s"), ("format", "xml"), ("quiet", "perhaps"),
    ("auth", "kerberos"), ("db_sslmode", "on"), ("max_overflow", "1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD, ids=str)
@pytest.mark.parametrize("source", SOURCES[1:])
def test_a_wrong_form_names_the_variable_and_its_source_and_not_the_value(
    source: str, field: str, value: str, env: Env
) -> None:
    say(source, field, value + SENTINEL, env)
    with pytest.raises(ConfigError) as refused:
        load_settings(env_files=[Path("extra.env")] if "--" in source else [])

    said = f"{env_name(field)} from {source.replace('--env-file', 'extra.env')}"
    assert refused.value.message == f"{said} has the wrong form"
    assert refused.value.hint
    assert SENTINEL not in f"{refused.value!r}{refused.value.hint}"
    assert refused.value.__cause__ is None


def test_a_flag_of_the_wrong_form_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--lock-timeout has the wrong form"):
        load_settings(flags={"lock_timeout": "5"})
    with pytest.raises(UsageError):
        load_settings(flags={"nonsense": "5"})


def test_a_bare_number_in_toml_is_no_duration() -> None:
    for text in ("5", "5.0", "true", "[1]", "1979-05-27"):
        Path("dbops.toml").write_text(f"timeout = {text}\n")
        with pytest.raises(ConfigError, match=r"DBOPS_TIMEOUT from dbops\.toml"):
            load_settings()


def test_a_variable_that_is_no_utf8_text_is_refused() -> None:
    program = (
        "from dbops.settings import load_settings\n"
        "from dbops.errors import ConfigError\n"
        "try: load_settings()\n"
        "except ConfigError as error: print(error)\n"
    )
    environment = {os.fsencode(k): os.fsencode(v) for k, v in os.environ.items()}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, b"DB_PASSWORD": b"\xff\xfe"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert done.stdout == "DB_PASSWORD from environment is not UTF-8 text\n"


@pytest.mark.parametrize(
    "text",
    ["owner = ", "\xff", "[targets", 'a = "' + "\\q" + '"', "x = " + "[" * 5000],
    ids=["cut", "latin", "bracket", "escape", "deep"],
)
@pytest.mark.parametrize("name", ["dbops.toml", "pyproject.toml"])
def test_broken_toml_is_an_error(name: str, text: str) -> None:
    Path(name).write_text(text, encoding="latin-1")

    with pytest.raises(ConfigError, match=f"{name} is not valid TOML"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool]\ndbops = 1\n"),
        ("dbops.toml", "targets = 1\n"),
        ("dbops.toml", "targets = [1]\n"),
        ("dbops.toml", "[targets]\nprod = 1\n"),
    ],
)
def test_toml_without_a_table_is_an_error(name: str, text: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(ConfigError, match="no table of settings"):
        load_settings()


def test_a_pyproject_that_is_somebody_elses_is_fine() -> None:
    for text in ("", "tool = 1\n", "[tool.other]\nx = 1\n"):
        Path("pyproject.toml").write_text(text)
        assert load_settings().sources == {}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("pool_sise = 1\n", "did you mean pool_size?"),
        ("[targets.prod]\nprotecte = true\n", "did you mean protected?"),
        ("zzzzzz = 1\n", "see: dbops config"),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(text: str, hint: str) -> None:
    Path("dbops.toml").write_text(text)
    with pytest.raises(ConfigError, match="unknown setting") as refused:
        load_settings()

    assert refused.value.hint == hint


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("DBOPS_POOL_SISE", "; did you mean DBOPS_POOL_SIZE?"),
        ("DBOPS_DATABASE_URL", "; did you mean DATABASE_URL?"),
        ("DBOPS_ZZZZZZ", ""),
    ],
)
def test_an_unknown_variable_is_a_notice_with_a_suggestion(
    name: str, suggestion: str, env: Env
) -> None:
    env(**{name: SENTINEL})

    assert load_settings().notices == (
        f"{name} is set, but dbops knows no such setting{suggestion}",
    )


def test_every_variable_of_a_setting_is_known(env: Env) -> None:
    env(DBOPS_POOL_SIZE="1", dbops_owner="x", DBOPS_QUIET="true", DBOPS_CACHE_DIR="x")

    assert load_settings().notices == ()


TARGETS = """
owner = "general"
database_url = "$GENERAL_URL"
[targets.prod-eu]
database_url = "${PROD_URL}"
protected = true
[targets.prod-us]
database_url = "postgresql://u@us/d"
[targets.dev]
pool_size = 1
[targets.dollar]
db_host = "h"
db_password = "$ecret"
"""


@pytest.fixture
def targets() -> None:
    """Write a project file with targets."""
    Path("dbops.toml").write_text(TARGETS)


@pytest.mark.usefixtures("targets")
async def test_the_place_of_a_target_replaces_the_environments_as_a_whole(
    env: Env,
) -> None:
    env(
        DATABASE_URL="postgresql://x:y@env/d", DATABASE_READER_URL="postgresql://r/d",
        DB_SECRET_ID="s", DB_PASSWORD="z", DBOPS_AUTH="iam", DBOPS_POOL_SIZE="7",
    )  # fmt: skip
    settings = load_settings(target="prod-us")

    assert await url(settings) == "postgresql://u@us:5432/d?sslmode=prefer"
    assert not settings.has_reader
    assert (settings.auth, settings.pool_size, settings.owner) == (
        "password", 7, "general",
    )  # fmt: skip
    assert settings.sources["database_url"] == "target prod-us"


@pytest.mark.usefixtures("targets")
async def test_a_target_without_a_place_keeps_the_environments(env: Env) -> None:
    env(DATABASE_URL="postgresql://u@env/d")
    settings = load_settings(target="dev")

    assert await url(settings) == "postgresql://u@env:5432/d?sslmode=prefer"
    assert settings.pool_size == 1


@pytest.mark.usefixtures("targets")
async def test_a_variable_in_a_target_is_taken_from_the_environment(env: Env) -> None:
    env(PROD_URL="postgresql://u:p@eu/d")
    settings = load_settings(target="prod-eu")

    assert await url(settings) == "postgresql://u:p@eu:5432/d?sslmode=prefer"
    assert settings.protected


@pytest.mark.usefixtures("targets")
def test_a_variable_that_is_not_set_is_an_error_where_it_counts(env: Env) -> None:
    with pytest.raises(ConfigError, match="PROD_URL, which is not set"):
        load_settings(target="prod-eu")
    with pytest.raises(ConfigError, match="GENERAL_URL, which is not set"):
        load_settings()
    env(DATABASE_URL="postgresql://u@env/d")

    assert load_settings().sources["database_url"] == "environment"


@pytest.mark.usefixtures("targets")
async def test_a_password_that_starts_with_a_dollar_stays_a_password() -> None:
    password = load_settings(target="dollar").db_password

    assert password is not None
    assert password.get_secret_value() == "$ecret"


@pytest.mark.usefixtures("targets")
def test_an_unknown_target_is_a_usage_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'nope'") as refused:
        load_settings(target="nope")

    assert refused.value.hint == "known targets: prod-eu, prod-us, dev, dollar"


def test_without_targets_the_hint_says_where_to_name_one() -> None:
    with pytest.raises(UsageError) as refused:
        target_names(["prod"])

    assert refused.value.hint == "name one under [tool.dbops.targets.NAME]"


@pytest.mark.usefixtures("targets")
@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["prod-*"], ["prod-eu", "prod-us"]),
        (["dev", "prod-us"], ["prod-us", "dev"]),
        (["*"], ["prod-eu", "prod-us", "dev", "dollar"]),
        (["prod-*", "prod-eu"], ["prod-eu", "prod-us"]),
        ([], []),
    ],
)
def test_patterns_choose_targets_in_the_order_of_the_file(
    patterns: list[str], names: list[str]
) -> None:
    assert target_names(patterns) == names


@pytest.mark.usefixtures("targets")
def test_a_pattern_that_matches_nothing_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'stage-"):
        target_names(["prod-*", "stage-*"])


def test_the_local_pair_is_asked_only_when_nothing_says_where(env: Env) -> None:
    asked = []

    def pair() -> dict[str, object]:
        asked.append(1)
        return {"db_host": "127.0.0.1", "db_port": 6000, "db_name": "postgres"}

    found = load_settings(local_pair=pair)
    assert found.sources["db_host"] == "local pair"
    assert "using the local pair" in found.notices[0]
    env(DB_NAME="mine")
    assert load_settings(local_pair=pair).db_name == "mine"
    env(DB_HOST="h")
    assert load_settings(local_pair=pair).db_host == "h"
    assert len(asked) == 2
    assert load_settings(local_pair=lambda: None).notices == ()


@pytest.mark.parametrize("role", ["writer", "reader", "admin", "migration"])
def test_no_settings_at_all_is_an_error_with_a_hint(role: Role) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings().access(role)

    assert refused.value.hint


def test_a_url_without_a_host_is_named(env: Env) -> None:
    env(DATABASE_URL="postgresql:///d")
    with pytest.raises(ConfigError, match="DATABASE_URL names no host"):
        load_settings().access("writer")
    env(DB_HOST="h")

    assert load_settings().access("writer")


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("writer", "DATABASE_URL"), ("reader", "DATABASE_READER_URL"),
        ("admin", "DATABASE_ADMIN_URL"), ("migration", "DATABASE_MIGRATION_URL"),
    ],
)  # fmt: skip
def test_a_malformed_url_is_named_with_its_source(
    role: Role, name: str, env: Env
) -> None:
    env(DATABASE_URL="postgresql://h/d")
    Path(".env").write_text(f"{name}=postgresql://u:{SENTINEL}@h:port/d\n")
    if name == "DATABASE_URL":
        env(DATABASE_URL="")
    with pytest.raises(ConfigError, match=rf"\({name} from \.env\)") as refused:
        load_settings().access(role)

    assert SENTINEL not in f"{refused.value!r}{refused.value.hint}"


WRITER = "postgresql://alice:hers@w:6432/books?sslmode=require&options=-c%20x%3D1"


@pytest.mark.parametrize(
    ("role", "variables", "expected"),
    [
        (
            "reader",
            {"DATABASE_READER_URL": "postgresql://r"},
            "alice:hers@r:5432/books",
        ),
        ("reader", {"DATABASE_READER_URL": "postgresql://bob@r/x"}, "bob@r:5432/x"),
        (
            "reader",
            {"DATABASE_READER_URL": "postgresql://alice@r"},
            "alice:hers@r:5432/books",
        ),
        (
            "reader",
            {"DATABASE_READER_URL": "postgresql://bob:his@r:1"},
            "bob:his@r:1/books",
        ),
        ("reader", {"DB_READER_HOST": "r"}, "alice:hers@r:6432/books"),
        ("reader", {"DB_READER_HOST": "r", "DB_PORT": "7"}, "alice:hers@r:7/books"),
        (
            "reader",
            {"DB_READER_HOST": "r", "DB_PORT": "7", "DB_READER_PORT": "8"},
            "alice:hers@r:8/books",
        ),
        ("reader", {"DB_READER_HOST": "r:9"}, "alice:hers@r:9/books"),
        ("admin", {}, "alice:hers@w:6432/postgres"),
        ("admin", {"DBOPS_MAINTENANCE_DB": "m"}, "alice:hers@w:6432/m"),
        (
            "admin",
            {"DATABASE_ADMIN_URL": "postgresql://root@w:6432"},
            "root@w:6432/postgres",
        ),
        (
            "admin",
            {"DATABASE_ADMIN_URL": "postgresql://root:x@w/template1"},
            "root:x@w:5432/template1",
        ),
        ("migration", {}, "alice:hers@w:6432/books"),
        (
            "migration",
            {"DATABASE_MIGRATION_URL": "postgresql://owner:o@direct"},
            "owner:o@direct:5432/books",
        ),
        (
            "migration",
            {"DATABASE_MIGRATION_URL": "postgresql://owner@direct"},
            "owner@direct:5432/books",
        ),
    ],
)
async def test_a_role_takes_what_it_lacks_from_the_writer(
    role: Role, variables: dict[str, str], expected: str, env: Env
) -> None:
    env(DATABASE_URL=WRITER, **variables)
    shown = await url(load_settings(), role)

    assert shown.partition("?")[0] == f"postgresql://{expected}"
    assert "sslmode=require" in shown


async def test_a_reader_never_takes_the_role_asked_of_the_writer(env: Env) -> None:
    env(
        DATABASE_URL="postgresql://u@w/d?target_session_attrs=primary",
        DATABASE_READER_URL="postgresql://r/d",
    )

    assert (await endpoint(load_settings(), "reader")).target_session_attrs == "any"
    migration = await endpoint(load_settings(), "migration")
    assert migration.target_session_attrs == "primary"


async def test_another_login_takes_no_session_from_the_writer(env: Env) -> None:
    env(DATABASE_URL=WRITER, DATABASE_ADMIN_URL="postgresql://root@other")

    assert (await endpoint(load_settings(), "admin")).options is None
    assert (await endpoint(load_settings(), "migration")).options == "-c x=1"


def test_without_a_reader_nothing_passes_for_one(env: Env) -> None:
    env(DATABASE_URL=WRITER, DB_READER_SECRET_ID="r", AWS_USE_LOCALSTACK="true")
    settings = load_settings()

    assert not settings.has_reader
    with pytest.raises(ConfigError, match="no reader is configured"):
        settings.access("reader")


def test_localstack_asks_no_secret(env: Env) -> None:
    env(DB_SECRET_ID="s", DB_HOST="h", AWS_USE_LOCALSTACK="true")

    assert load_settings().access("writer").own == (
        Endpoint(addresses=(Address("h"),), is_port_unsaid=True),
    )


@pytest.mark.parametrize(
    "said", ["disable", "allow", "prefer", "require", "verify-full"]
)
async def test_iam_implies_tls(said: str, env: Env) -> None:
    env(DATABASE_URL=f"postgresql://u@h/d?sslmode={said}", DBOPS_AUTH="iam")
    found = await endpoint(load_settings())

    assert found.sslmode == ("verify-full" if said == "verify-full" else "require")


def test_the_format_is_known_before_the_settings_are(env: Env) -> None:
    assert wanted_format({}) == "human"
    Path("dbops.toml").write_text('format = "json"\n')
    assert wanted_format({}) == "json"
    Path(".env").write_text("DBOPS_FORMAT=human\n")
    assert wanted_format({}) == "human"
    Path("extra.env").write_text("DBOPS_FORMAT=json\n")
    assert wanted_format({}, [Path("extra.env")]) == "json"
    env(DBOPS_FORMAT="human")
    assert wanted_format({}, [Path("extra.env")]) == "human"
    assert wanted_format({"format": "json"}) == "json"


def test_a_broken_configuration_is_told_to_people(env: Env) -> None:
    assert wanted_format({"format": "xml"}) == "human"
    assert wanted_format({}, [Path("missing.env")]) == "human"
    Path("dbops.toml").write_text("format = [")
    assert wanted_format({}) == "human"
    assert wanted_format({"format": "json"}) == "json"
    env(DBOPS_FORMAT="nonsense")
    assert wanted_format({}) == "human"


def test_a_child_inherits_the_environment(env: Env) -> None:
    env(DB_NAME="d")
    child = child_environment(DB_NAME="other", X="y")

    assert (child["DB_NAME"], child["X"]) == ("other", "y")
    assert os.environ["DB_NAME"] == "d"
    assert child["PATH"] == os.environ["PATH"]


def test_the_settings_show_no_secret(env: Env) -> None:
    env(
        DATABASE_URL=f"postgresql://u:{SENTINEL}@h/d", DB_PASSWORD=SENTINEL,
        AWS_SECRET_ACCESS_KEY=SENTINEL, AWS_SESSION_TOKEN=SENTINEL,
    )  # fmt: skip
    settings = load_settings()

    assert SENTINEL not in f"{settings}{settings!r}{settings.model_dump_json()}"
    assert SENTINEL not in f"{settings.access('writer')}{settings.aws}"


def test_settings_under_another_name_keep_their_sources(env: Env) -> None:
    env(DB_HOST="h")
    settings = load_settings().named("dbops/1 ping")

    assert settings.application_name == "dbops/1 ping"
    assert settings.sources == {"db_host": "environment"}


def test_every_error_of_the_settings_has_a_hint(env: Env) -> None:
    env(DB_HOST="x@y")
    for broken in ("timeout = 5\n", "nonsense = 1\n", "x = [\n", "targets = 1\n", ""):
        Path("dbops.toml").write_text(broken)
        with pytest.raises(DbopsError) as refused:
            load_settings().access("writer")
        assert refused.value.hint

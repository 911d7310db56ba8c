"""What `dbops config` shows."""

from pathlib import Path

import pytest

from dbops.errors import UsageError
from dbops.operations.config import configuration
from dbops.settings import Settings, load_settings

SENTINEL = "hunter2Sentinel"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DBOPS_CACHE_DIR", raising=False)


def shown(**flags: object) -> dict[str, str | None]:
    listed = configuration(load_settings(flags=flags), only_set=True)
    return {setting.name: setting.value for setting in listed.settings}


def test_every_setting_is_listed_with_its_variable_and_source() -> None:
    listed = configuration(load_settings(flags={"db_host": "h"})).settings

    assert [it.name for it in listed] == list(Settings.model_fields)
    sources = {it.name: (it.variable, it.source) for it in listed}
    assert sources["db_host"] == ("DB_HOST", "flag")
    assert sources["pool_size"] == ("DBOPS_POOL_SIZE", "default")


def test_only_what_was_set_can_be_listed() -> None:
    assert shown(db_host="h") == {"db_host": "h"}


@pytest.mark.parametrize("field", list(Settings.model_fields))
@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://u:{SENTINEL}@h/d", f"postgresql://u:{SENTINEL}@h:bad/d",
        f"u:{SENTINEL}@h", f"https://u:{SENTINEL}@proxy/",
    ],
)  # fmt: skip
def test_a_login_in_the_wrong_place_is_not_shown(field: str, text: str) -> None:
    said = ""
    try:
        said = shown(**{field: text})[field] or ""
    except UsageError as error:  # of another form, such as a number
        said = f"{error!r}{error.hint}"
    assert SENTINEL not in said


def test_a_url_is_shown_without_its_password() -> None:
    url = f"postgres://u:{SENTINEL}@h/d?sslmode=require"

    assert shown(database_url=url)["database_url"] == (
        "postgresql://u:***@h:5432/d?sslmode=require"
    )
    bad = f"postgresql://u:{SENTINEL}@h:bad/d"
    assert shown(database_url=bad)["database_url"] == "*** (malformed)"


def test_values_are_written_as_options_take_them() -> None:
    values = shown(
        timeout=1234567.0, quiet=True, yes=False, extensions=("a", "b"), owner="",
        lock_timeout="500ms", target=(),
    )  # fmt: skip

    assert values == {
        "timeout": "1234567s", "quiet": "true", "yes": "false", "extensions": "a,b",
        "owner": None, "lock_timeout": "500ms", "target": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("aws_access_key_id", "AKIAIOSFODNN7EXAMPLE", "***MPLE"),
        ("aws_secret_access_key", SENTINEL, "***"),
        ("aws_endpoint_url", f"https://u:{SENTINEL}@proxy:1/x", "***@proxy:1/x"),
        ("aws_endpoint_url", "https://here:1/x", "https://here:1/x"),
        ("db_host", f"u:{SENTINEL}@h", "***@h"),
        ("db_secret_id", f'{{"p": "{SENTINEL}"}}', "*** (not the name of a secret)"),
        ("db_secret_id", "prod/db", "prod/db"),
        ("alembic_x", f"password={SENTINEL},a=b,flag", "password=***,a=b,flag"),
    ],
)  # fmt: skip
def test_what_may_hold_a_secret_is_masked(field: str, value: str, text: str) -> None:
    assert shown(**{field: value})[field] == text

"""What a secret says, and what completes an endpoint. Nobody is asked here."""

import getpass
import json
import traceback
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from dbops.credentials import Credentials, parse_secret
from dbops.endpoint import Address, Endpoint, parse_url
from dbops.errors import ConfigError
from dbops.settings import Access, Aws

SENTINEL = "hunter2Sentinel"
NOWHERE = Aws(None, None, None, None, None, None)


def secret(**fields: object) -> Endpoint:
    return parse_secret("s", {"SecretString": json.dumps(fields)})


def refused(answer: dict[str, object]) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        parse_secret("my/secret", answer)
    said = "".join(traceback.format_exception(error.value))
    assert SENTINEL not in f"{said}{error.value!r}{error.value.hint}"
    assert "my/secret" in error.value.message
    assert error.value.hint
    return error.value


def test_the_rds_shape_is_an_endpoint() -> None:
    endpoint = secret(
        username="u", password="p@/:%", host="h", port=6432, dbname="d",
        engine="postgres", dbInstanceIdentifier="x", masterarn="y",
    )  # fmt: skip

    assert endpoint == Endpoint(
        (Address("h", 6432),), database="d", user="u", password=SecretStr("p@/:%")
    )


@pytest.mark.parametrize("port", [6432, "6432", "06432"], ids=repr)
def test_a_port_may_be_a_number_or_text(port: object) -> None:
    assert secret(host="h", port=port).addresses == (Address("h", 6432),)


@pytest.mark.parametrize("port", [None, ""], ids=repr)
def test_without_a_port_somebody_else_may_say_it(port: object) -> None:
    endpoint = secret(host="h", port=port)

    assert endpoint.addresses == (Address("h", 5432),)
    assert endpoint.filled_from(Endpoint(port=7)).addresses == (Address("h", 7),)


def test_a_port_without_a_host_completes_somebody_elses() -> None:
    endpoint = secret(port=7).filled_from(parse_url("postgresql://h/d"))

    assert endpoint.addresses == (Address("h", 7),)


@pytest.mark.parametrize(
    "port",
    [0, -1, 65536, 5432.0, True, "x", "9" * 5000, [], {}, "5432 ", "\u0665"],
    ids=[str(number) for number in range(11)],
)
def test_what_is_no_port_is_refused(port: object) -> None:
    answer: dict[str, object] = {"SecretString": json.dumps({"port": port})}

    assert "port" in refused(answer).message


@pytest.mark.parametrize(
    "engine",
    ["postgres", "aurora-postgresql", "PostgreSQL", "custom-postgres", "", None],
)
def test_every_engine_that_is_postgresql_is_fine(engine: str | None) -> None:
    assert secret(username="u", engine=engine).user == "u"


@pytest.mark.parametrize("engine", ["mysql", "aurora", "oracle-ee", "mariadb"])
def test_a_secret_of_another_engine_is_refused(engine: str) -> None:
    answer: dict[str, object] = {
        "SecretString": json.dumps({"engine": engine, "password": SENTINEL})
    }

    assert "another database engine" in refused(answer).message


@pytest.mark.parametrize("name", ["username", "password", "host", "dbname", "engine"])
@pytest.mark.parametrize(
    "value", [1, True, [], {}, [SENTINEL], {"a": SENTINEL}], ids=repr
)
def test_a_field_that_is_not_text_is_named_and_not_shown(
    name: str, value: object
) -> None:
    answer: dict[str, object] = {
        "SecretString": json.dumps({"password": SENTINEL, name: value})
    }

    assert f"a {name} that is not text" in refused(answer).message


@pytest.mark.parametrize(
    "text",
    [
        SENTINEL, "", f'"{SENTINEL}"', f'["{SENTINEL}"]', "1", "null", "true", "NaN",
        f'{{"password": "{SENTINEL}"', f'{{"password": {SENTINEL}}}',
        f"<html>{SENTINEL}</html>", "[" * 100_000, '{"a":' * 100_000,
        '{"port": ' + "9" * 5000 + "}", f"\ufeff{{}}{SENTINEL}",
    ],
    ids=[str(number) for number in range(15)],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(text: str) -> None:
    assert "not a JSON object" in refused({"SecretString": text}).message


def test_a_binary_secret_is_refused() -> None:
    assert "is binary" in refused({"SecretBinary": SENTINEL.encode()}).message


def test_an_answer_without_a_value_is_no_answer_of_secrets_manager() -> None:
    for answer in ({}, {"SecretString": None}, {"SecretString": 1}):
        error = refused(dict(answer))
        assert "without a value" in error.message
        assert "proxy" in (error.hint or "")


async def complete(endpoint: Endpoint) -> Endpoint:
    return await Credentials.known(endpoint).endpoint()


async def test_libpqs_defaults_complete_an_endpoint() -> None:
    found = await complete(Endpoint(addresses=(Address("h"),), user="u"))

    assert (found.database, found.sslmode) == ("u", "prefer")


async def test_without_a_host_there_is_nothing_to_connect_to() -> None:
    with pytest.raises(ConfigError, match="on which host the writer is"):
        await complete(Endpoint(user="u"))


@pytest.mark.parametrize("error", [KeyError, OSError, ImportError])
async def test_an_account_without_a_name_has_to_say_a_user(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise error(SENTINEL)

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(ConfigError, match="which user") as raised:
        await complete(Endpoint(addresses=(Address("h"),)))

    assert raised.value.hint


@pytest.mark.parametrize("odd", ["a\0b", chr(0xDCFF), chr(0xD800)], ids=ascii)
@pytest.mark.parametrize(
    "made",
    [
        lambda odd: Endpoint((Address("h"),), user=odd),
        lambda odd: Endpoint((Address("h"),), user="u", database=odd),
        lambda odd: Endpoint((Address(odd),), user="u"),
        lambda odd: Endpoint(
            (Address("h"),), user="u", password=SecretStr(SENTINEL + odd)
        ),
    ],
    ids=["user", "database", "host", "password"],
)
async def test_text_that_the_server_would_cut_off_is_refused(
    made: Callable[[str], Endpoint], odd: str
) -> None:
    with pytest.raises(ConfigError, match="cannot take") as raised:
        await complete(made(odd))

    assert SENTINEL not in f"{raised.value!r}"


async def test_without_a_secret_a_refused_password_stays_refused() -> None:
    credentials = Credentials.known(Endpoint(addresses=(Address("h"),), user="u"))

    assert await credentials.refreshed(await credentials.endpoint()) is None


async def test_a_known_password_is_used_for_every_address() -> None:
    endpoint = parse_url("postgresql://u:p@h1,h2/d")
    credentials = Credentials.known(endpoint)

    for address in endpoint.addresses:
        assert await credentials.password(endpoint, address) == SecretStr("p")


async def test_a_database_that_is_asked_for_wins() -> None:
    own = (Endpoint(database="other"), parse_url("postgresql://u@h/d"))
    credentials = Credentials(Access("writer", own, (), "password", NOWHERE))

    assert (await credentials.endpoint()).database == "other"

"""Connection URLs as people paste them."""

import random
import traceback
from itertools import product
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from dbops.endpoint import Address, Endpoint, parse_addresses, parse_url
from dbops.errors import ConfigError

SENTINEL = "hunter2Sentinel"


def password(endpoint: Endpoint) -> str | None:
    return endpoint.password.get_secret_value() if endpoint.password else None


def whole(text: str = "p") -> Endpoint:
    return parse_url(f"postgresql://u:{text}@h:5433/d")


@pytest.mark.parametrize(
    "scheme",
    [
        "postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg",
        "postgresql+psycopg2", "POSTGRES",
    ],
)  # fmt: skip
def test_every_scheme_that_people_paste_means_postgresql(scheme: str) -> None:
    assert parse_url(f"  {scheme}://u:p@h:5433/d\n") == whole()


def test_a_url_says_where_who_and_what() -> None:
    endpoint = parse_url("postgresql://alice:pw@db.example.com:6432/books")

    assert endpoint.addresses == (Address("db.example.com", 6432),)
    assert (endpoint.user, password(endpoint)) == ("alice", "pw")
    assert endpoint.database == "books"


@pytest.mark.parametrize(
    ("before", "addresses"),
    [
        ("h", [("h", 5432)]),
        ("h:", [("h", 5432)]),
        ("h1,h2:5433", [("h1", 5432), ("h2", 5433)]),
        ("h1:1,h2:2,h3:3", [("h1", 1), ("h2", 2), ("h3", 3)]),
        ("[::1]", [("::1", 5432)]),
        ("[::1]:5433,h:1", [("::1", 5433), ("h", 1)]),
        ("[fe80::1%25eth0]", [("fe80::1%eth0", 5432)]),
        ("%2Fvar%2Frun%2Fpostgresql", [("/var/run/postgresql", 5432)]),
        ("bücher.example", [("bücher.example", 5432)]),
        ("h:65535", [("h", 65535)]),
        ("", []),
    ],
)
def test_hosts_stand_before_the_path(
    before: str, addresses: list[tuple[str, int]]
) -> None:
    assert parse_url(f"postgresql://{before}/d").addresses == tuple(
        Address(*address) for address in addresses
    )


@pytest.mark.parametrize(
    ("rest", "addresses"),
    [
        ("/d?host=/run/pg", [("/run/pg", 5432)]),
        ("/d?host=/run/pg&port=5433", [("/run/pg", 5433)]),
        ("/d?port=5433&host=/run/pg", [("/run/pg", 5433)]),
        (":5433/d?host=/run/pg", [("/run/pg", 5433)]),
        ("/d?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("/d?host=a,b&port=7", [("a", 7), ("b", 7)]),
        ("/d?host=a:1&host=b:2", [("a", 1), ("b", 2)]),
        ("/d?host=::1", [("::1", 5432)]),
        ("/d?port=5433", [("localhost", 5433)]),
        ("elsewhere/d?host=here", [("here", 5432)]),
    ],
)
def test_hosts_may_stand_behind_the_path(
    rest: str, addresses: list[tuple[str, int]]
) -> None:
    assert parse_url(f"postgresql://{rest}").addresses == tuple(
        Address(*address) for address in addresses
    )


@pytest.mark.parametrize(
    "rest",
    [
        "h:port/d", "h:0/d", "h:65536/d", "h:-1/d", "h:5432x/d", "h:٥٤٣٢/d",
        "h:" + "9" * 5000 + "/d", "::1/d", "[::1/d", "[::1]x/d", "::1]/d", ":5432/d",
        "/d?host=a,b,c&port=1,2", "/d?host=&port=1", "/d?port=1,x",
    ],
)  # fmt: skip
def test_a_malformed_host_or_port_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_url(f"postgresql://{rest}")

    assert refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "", "nonsense", "postgresql:/h/d", "mysql://u:p@h/d", "http://h", "://h/d",
        "jdbc:postgresql://h/d", "postgresql+pg8000://h/d", "'postgresql://h/d'",
    ],
)  # fmt: skip
def test_what_is_no_postgresql_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="does not start with postgresql://"):
        parse_url(url)


def test_parameters_mean_what_they_mean_to_libpq() -> None:
    endpoint = parse_url(
        "postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem"
        "&sslkey=/k.pem&connect_timeout=7&target_session_attrs=read-write"
        "&application_name=a+b%20c&options=-c%20search_path%3Dx&user=u&dbname=other"
    )

    assert endpoint.sslmode == "verify-full"
    assert endpoint.sslrootcert == "/ca.pem"
    assert (endpoint.sslcert, endpoint.sslkey) == ("/c.pem", "/k.pem")
    assert endpoint.connect_timeout_s == 7
    assert endpoint.target_session_attrs == "read-write"
    assert endpoint.application_name == "a+b c"
    assert endpoint.options == "-c search_path=x"
    assert (endpoint.user, endpoint.database) == ("u", "other")


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("disable", "disable"), ("VERIFY-CA", "verify-ca"), ("true", "require"),
        ("no-verify", "require"), ("false", "disable"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["ssl", "sslmode"])
def test_the_spellings_of_sslmode(name: str, value: str, mode: str) -> None:
    assert parse_url(f"postgresql://h/d?{name}={value}").sslmode == mode


@pytest.mark.parametrize(("value", "limit_s"), [("5", 5.0), ("0", None), ("-1", None)])
def test_connect_timeout_counts_whole_seconds(value: str, limit_s: float) -> None:
    url = f"postgresql://h/d?connect_timeout={value}"

    assert parse_url(url).connect_timeout_s == limit_s


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=on", "connect_timeout=5s", "connect_timeout=1.5",
        "connect_timeout=" + "9" * 400, "target_session_attrs=master",
        "sslnegotiation=direct", "password=x", "sslpassword=x", "sslmoed=require",
        "sslmode=require&nonsense", "options=%FF", "sslcert=~nobody_at_all/c",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_honoured_is_refused(query: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_url(f"postgresql://u:p@h/d?{query}")

    assert refused.value.hint


def test_an_unknown_parameter_is_named_and_the_right_one_offered() -> None:
    with pytest.raises(ConfigError, match=r"does not know: sslmoed") as refused:
        parse_url("postgresql://u:p@h/d?sslmoed=require")

    assert refused.value.hint == "did you mean sslmode?"


@pytest.mark.parametrize(
    "query",
    [
        "channel_binding=require", "pgbouncer=true", "keepalives_idle=30",
        "schema=public&connection_limit=1", "sslnegotiation=postgres", "", "&&",
        "sslmode=", "user=", "connect_timeout=", "sslrootcert=",
    ],
)  # fmt: skip
def test_what_providers_add_changes_nothing(query: str) -> None:
    assert parse_url(f"postgresql://u:p@h:5433/d?{query}") == whole()


@pytest.mark.parametrize(
    "raw",
    [
        "p@ss", "p/ss", "p?ss", "p#ss", "p:ss", "@", "p&q=1", "100%", "%",
        "p%zz", "{[(", "пароль", "密码", "p w", "p+w", "*", "***", "=", ",", "[::1]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("tail", ["", "?sslmode=require"])
def test_a_password_may_be_pasted_as_it_is(raw: str, tail: str) -> None:
    endpoint = parse_url(f"postgresql://u:{raw}@h:5433/d{tail}")

    assert password(endpoint) == raw
    assert (endpoint.user, endpoint.database) == ("u", "d")
    assert endpoint.addresses == (Address("h", 5433),)


@pytest.mark.parametrize(
    "rest",
    [
        "h/my@db", "h:5432/my@db", "h:5432,h2:5433/my@db",
        "h:5432?application_name=a@b",
        "h?application_name=a@b", "u#x:p@h/d",
    ],
)  # fmt: skip
def test_a_url_that_can_be_read_in_two_ways_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError, match="two ways"):
        parse_url(f"postgresql://{rest}")


@pytest.mark.parametrize("raw", ["a@b/c?d#e", "x@y?pool=1", "@?"])
def test_an_at_sign_before_a_question_mark_has_to_be_escaped(raw: str) -> None:
    with pytest.raises(ConfigError, match="unescaped") as refused:
        parse_url(f"postgresql://u:{raw}@h:5433/d")

    assert "%40 for @" in (refused.value.hint or "")
    assert password(whole(quote(raw, safe=""))) == raw
    assert password(parse_url(f"postgresql://u:{raw}@h/d?sslmode=require")) == raw


def test_an_at_sign_in_a_known_parameter_is_no_login() -> None:
    endpoint = parse_url("postgresql://u:p@h:5433/d?application_name=me@here")

    assert endpoint.application_name == "me@here"
    assert endpoint.addresses == (Address("h", 5433),)


@pytest.mark.parametrize("part", ["%FF", "a%00b", "100%AB", "%C3"])
@pytest.mark.parametrize(
    "url", ["postgresql://u:{}@h/d", "postgresql://{}@h/d", "postgresql://h/{}"]
)
def test_an_escape_that_is_no_utf8_text_is_refused(url: str, part: str) -> None:
    with pytest.raises(ConfigError, match="no escape of UTF-8"):
        parse_url(url.format(part))


def test_a_line_break_within_a_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="line break"):
        parse_url("postgresql://u:p@h/d\n?sslmode=require")


ALPHABET = "aZ09 @:/?#[]%&=+,;*'\"\\$!~`|<>{}()^-_.\té漢字🙂\u202eß\x7f\x1b\n\u0301"


def hostile_texts(count: int) -> list[str]:
    """Return texts of characters that URLs, shells and terminals trip over."""
    chance = random.Random(4711)  # noqa: S311 # the same texts every time
    fixed = [*ALPHABET, "%41", "%", "%%", "a%2Fb", "***", "..", "//", "://", "@@"]
    return [
        *fixed,
        *(
            "".join(chance.choices(ALPHABET, k=chance.randint(1, 24)))
            for _ in range(count)
        ),
    ]


HOSTILE = hostile_texts(300)


def test_there_are_enough_hostile_texts() -> None:
    assert len(HOSTILE) >= 200


def test_hostile_names_and_passwords_come_back_from_a_url() -> None:
    for text in HOSTILE:
        comes_back(text)


def comes_back(text: str) -> None:
    endpoint = Endpoint(
        addresses=(Address("h", 5433),),
        database=text,
        user=text[::-1],
        password=SecretStr(text),
        application_name=text,
        options=text,
    )
    url = endpoint.url(show_password=True)

    assert parse_url(url) == endpoint
    other = make_url(url)
    assert (other.username, other.password) == (text[::-1], text)
    assert (other.host, other.port) == ("h", 5433)


def test_hostile_passwords_stay_out_of_what_is_shown() -> None:
    for text in HOSTILE:
        secret = SecretStr(f"{text}{SENTINEL}")
        endpoint = Endpoint(addresses=(Address("h"),), user="u", password=secret)

        assert SENTINEL not in endpoint.url() + repr(endpoint) + str(endpoint)
        assert endpoint.url() == "postgresql://u:***@h:5432/"


@pytest.mark.parametrize(
    "addresses",
    [
        (Address("h"),), (Address("::1", 1), Address("h", 2)),
        (Address("fe80::1%eb0"),), (Address("/var/run/x"),),
        (Address("/a b", 1), Address("h", 2)), (Address("o,dd/@h?#[x%41"),),
        (Address("bücher"),),
    ],
)  # fmt: skip
def test_addresses_come_back_from_a_url(addresses: tuple[Address, ...]) -> None:
    endpoint = Endpoint(
        addresses=addresses,
        sslmode="verify-full",
        sslrootcert="/a&b=c.pem",
        target_session_attrs="primary",
        connect_timeout_s=3.0,
    )

    assert parse_url(endpoint.url()) == endpoint


def test_an_address_is_written_as_in_a_url() -> None:
    assert str(Address("::1", 1)) == "[::1]:1"
    assert str(Address("h")) == "h:5432"


def test_text_that_cannot_be_encoded_is_still_written() -> None:
    endpoint = Endpoint(user="\udcff", password=SecretStr("\ud800"), database="\udcfe")

    assert endpoint.url(show_password=True) == "postgresql://%3F:%3F@/%3F"


def malformed_urls() -> list[str]:
    """Return URLs with the sentinel as password and something else wrong."""
    schemes = ["postgresql://", "postgres:/", "postgresql//", "mysql://", "", "://"]
    logins = ["u:{}@", ":{}@", "u:x{}@", "u:{}", "u:1/{}@", "u:?{}@", "u:{}%FF@"]
    hosts = ["h:port", "h:99999", "::1", "[::1", "h,h:x", ":5", "h#", "h:\n5"]
    tails = ["/d?sslmode=bad", "/d?x=1", "?a@b", "/%FF", "/d?password={}", "/d?port=a"]
    return [
        "".join(parts).format(SENTINEL, SENTINEL)
        for parts in product(schemes, logins, hosts, tails)
    ]


def mutated_urls(count: int) -> list[str]:
    """Return a good URL, damaged anywhere but in its password."""
    chance = random.Random(42)  # noqa: S311 # the same damage every time
    url = f"postgresql://user:{SENTINEL}@host:5432/db?sslmode=require"
    start = url.index(SENTINEL)
    outside = [*range(start), *range(start + len(SENTINEL), len(url))]
    damaged = []
    for _ in range(count):
        letters = list(url)
        for place in chance.sample(outside, k=chance.randint(1, 4)):
            letters[place] = chance.choice(
                ["", "@", ":", "/", "?", "#", "%", "[", "\0"]
            )
        damaged.append("".join(letters))
    return damaged


def test_no_error_about_a_malformed_url_holds_its_password() -> None:
    refused = sum(is_refused(url) for url in [*malformed_urls(), *mutated_urls(3000)])

    assert refused >= 500


def is_refused(url: str) -> bool:
    """Tell whether `url` is refused; either way, nothing may show the sentinel."""
    endpoint, said = None, ""
    try:
        endpoint = parse_url(url)
    except ConfigError as error:
        trace = "".join(traceback.format_exception(error))
        said = f"{error}{error!r}{error.args}{error.message}{error.hint}{trace}"
    if endpoint is not None and SENTINEL in (password(endpoint) or ""):
        said = f"{endpoint}{endpoint!r}{endpoint.url()}"
    assert SENTINEL not in said, url
    return endpoint is None


def test_an_unknown_parameter_is_not_named_where_it_may_be_a_password() -> None:
    for url in (
        f"postgresql://user:secret?{SENTINEL}",
        f"postgresql://user:p@ss?{SENTINEL}",
        f"postgresql://u:p@h/d?{SENTINEL}=x",
        "postgresql://h/d?hunter=x",
    ):
        with pytest.raises(ConfigError) as refused:
            parse_url(url)
        assert "hunter" not in f"{refused.value}{refused.value.hint}"


def test_an_endpoint_is_filled_with_what_it_lacks() -> None:
    filled = parse_url("postgresql://h1/d1").filled_from(
        parse_url(
            "postgresql://u:p@h2:1/d2?sslmode=require&options=x&connect_timeout=3"
        )
    )

    assert filled.url(show_password=True) == (
        "postgresql://u:p@h1:5432/d1?sslmode=require&connect_timeout=3&options=x"
    )


def test_a_password_belongs_to_its_user() -> None:
    alice = Endpoint(user="alice", password=SecretStr("hers"))

    assert password(Endpoint(user="bob").filled_from(alice)) is None
    assert password(Endpoint(user="alice").filled_from(alice)) == "hers"
    assert password(Endpoint().filled_from(alice)) == "hers"
    anybodys = Endpoint(password=SecretStr("ours"))
    assert password(Endpoint(user="bob").filled_from(anybodys)) == "ours"


def test_a_key_belongs_to_its_certificate() -> None:
    other = Endpoint(sslcert="/other.pem", sslkey="/other.key")

    assert Endpoint(sslcert="/own.pem").filled_from(other).sslkey is None
    assert Endpoint().filled_from(other).sslkey == "/other.key"


def test_a_port_that_is_said_apart_completes_a_host_without_one() -> None:
    port = Endpoint(port=6432)
    bare = Endpoint(addresses=(Address("h"),), is_port_unsaid=True)
    url = parse_url("postgresql://h/d")

    assert bare.filled_from(port).addresses == (Address("h", 6432),)
    assert port.filled_from(bare).addresses == (Address("h", 6432),)
    assert port.filled_from(url).addresses == (Address("h", 6432),)
    assert url.filled_from(port).addresses == (Address("h", 5432),)
    full = parse_url("postgresql://h:1/d")
    assert port.filled_from(full).addresses == (Address("h", 1),)


def test_a_list_of_addresses_says_whether_it_names_ports() -> None:
    assert parse_addresses("h1,[::1]") == ((Address("h1"), Address("::1")), False)
    assert parse_addresses("h1:1,h2")[1]
    assert parse_addresses("") == ((), False)


def test_the_same_server_with_another_database() -> None:
    assert whole().with_database("other").database == "other"


def test_sqlalchemy_reads_escaped_urls_as_dbops_does() -> None:
    for text in HOSTILE:
        url = f"postgresql://{quote(text, safe='')}:{quote(text, safe='')}@h:5433/d"
        ours, theirs = parse_url(url), make_url(url)
        assert (ours.user, password(ours)) == (theirs.username, theirs.password)

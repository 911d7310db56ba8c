"""AWS Secrets Manager and IAM tokens, against real HTTP servers."""

import asyncio
import json
import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from traceback import FrameSummary, TracebackException
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr
from typing_extensions import override

from dbops.credentials import Credentials, SecretStore
from dbops.endpoint import Address, Endpoint, Role
from dbops.engine.connect import Connectors, connect
from dbops.errors import ConfigError, CredentialsError, DbopsError, UnreachableError
from dbops.settings import Settings, load_settings
from tests.conftest import Served, new_name

SENTINEL = "hunter2Sentinel"
KEYS = {
    "aws_region": "eu-west-1",
    "aws_access_key_id": "AKIATEST",
    "aws_secret_access_key": "secret/key+of=aws",
}


@pytest.fixture(autouse=True)
def _no_aws_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's profiles."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def configured(url: str | None, **flags: object) -> Settings:
    said = {**KEYS, "aws_endpoint_url": url, "db_secret_id": "app/writer", **flags}
    return load_settings(flags={k: v for k, v in said.items() if v is not None})


def store_of(settings: Settings, deadline_s: float = 20.0) -> SecretStore:
    return SecretStore(settings.aws, deadline_s=deadline_s)


async def endpoint(
    settings: Settings, role: Role = "writer", store: SecretStore | None = None
) -> Endpoint:
    return await Credentials(
        settings.access(role), store or store_of(settings)
    ).endpoint()


def said_by(error: BaseException) -> str:
    """Return everything that a person or a log could see of an error."""
    trace = "".join(traceback.format_exception(error))
    return f"{trace}{error!r}{getattr(error, 'hint', '')}"


def held_by(error: BaseException) -> str:
    """Return what those see who report an error with the local variables."""
    shown = TracebackException.from_exception(error, capture_locals=True)
    return "".join(str(it.locals) for it in frames(shown))


def frames(shown: TracebackException | None) -> Iterator[FrameSummary]:
    """Walk the frames of an error and of its causes, but for those of these tests."""
    while shown is not None:
        yield from (it for it in shown.stack if it.filename != __file__)
        hidden = shown.__suppress_context__
        shown = shown.__cause__ or (None if hidden else shown.__context__)


# ------------------------------------------------------------------------- moto


@pytest.fixture(scope="module")
def moto() -> Generator[str]:
    """A Secrets Manager that keeps secrets."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Keeper:
    """Writes secrets."""

    def __init__(self, url: str) -> None:
        session = boto3.Session(
            aws_access_key_id="x", aws_secret_access_key="y", region_name="eu-west-1"
        )
        self.client: Any = session.client("secretsmanager", endpoint_url=url)

    def keep(self, name: str, secret: str | bytes) -> str:
        """Create a secret and return its ARN."""
        kind = "SecretString" if isinstance(secret, str) else "SecretBinary"
        made = self.client.create_secret(Name=name, **{kind: secret})
        return str(made["ARN"])

    def change(self, name: str, secret: str) -> None:
        self.client.put_secret_value(SecretId=name, SecretString=secret)

    def close(self) -> None:
        for secret in self.client.list_secrets()["SecretList"]:
            self.client.delete_secret(
                SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True
            )
        self.client.close()


@pytest.fixture
def keeper(moto: str) -> Generator[Keeper]:
    """Secrets that are gone after the test."""
    keeper = Keeper(moto)
    yield keeper
    keeper.close()


def rds(**changed: object) -> str:
    """Return a secret as RDS writes it; a field of None is left out."""
    fields = {
        "username": "app", "password": SENTINEL, "host": "w.example.com",
        "port": 6432, "dbname": "books", "engine": "postgres", **changed,
    }  # fmt: skip
    return json.dumps({k: v for k, v in fields.items() if v is not None})


async def test_the_rds_shape_says_everything(moto: str, keeper: Keeper) -> None:
    keeper.keep("app/writer", rds())

    assert (await endpoint(configured(moto))).url(show_password=True) == (
        f"postgresql://app:{SENTINEL}@w.example.com:6432/books?sslmode=prefer"
    )


async def test_a_secret_may_be_named_by_its_arn(moto: str, keeper: Keeper) -> None:
    arn = keeper.keep("app/writer", rds())

    assert (await endpoint(configured(moto, db_secret_id=arn))).user == "app"


async def test_the_reader_has_a_secret_of_its_own(moto: str, keeper: Keeper) -> None:
    keeper.keep("app/writer", rds())
    keeper.keep("app/reader", '{"host": "r.example.com", "port": "7"}')
    keeper.keep("app/ro", '{"host": "r", "username": "ro", "password": "x"}')
    settings = configured(moto, db_reader_secret_id="app/reader")
    other = configured(moto, db_reader_secret_id="app/ro")

    assert (await endpoint(settings, "reader")).url(show_password=True) == (
        f"postgresql://app:{SENTINEL}@r.example.com:7/books?sslmode=prefer"
    )
    assert (await endpoint(other, "reader")).url(show_password=True) == (
        "postgresql://ro:x@r:6432/books?sslmode=prefer"
    )


async def test_a_readers_secret_without_a_host_never_leads_to_the_writer(
    moto: str, keeper: Keeper
) -> None:
    keeper.keep("app/writer", rds())
    keeper.keep("app/reader", rds(host=None))
    settings = configured(moto, db_reader_secret_id="app/reader")

    with pytest.raises(ConfigError, match="on which host the reader is"):
        await endpoint(settings, "reader")


@pytest.mark.parametrize(
    ("lacks", "flags", "expected"),
    [
        (["host", "port"], {"db_host": "h", "db_port": 7}, "app:*@h:7/books"),
        (["host"], {"db_host": "h"}, "app:*@h:6432/books"),
        (["port"], {"db_port": 7}, "app:*@w.example.com:7/books"),
        (["port"], {}, "app:*@w.example.com:5432/books"),
        (["dbname"], {"db_name": "d"}, "app:*@w.example.com:6432/d"),
        (["dbname"], {}, "app:*@w.example.com:6432/app"),
        (["host"], {"database_url": "postgresql://x:y@h/d"}, "app:*@h:6432/books"),
        (["username", "password"], {"db_user": "u"}, "u@w.example.com:6432/books"),
        (["engine"], {}, "app:*@w.example.com:6432/books"),
    ],
)
async def test_what_a_secret_lacks_comes_from_the_rest(
    moto: str,
    keeper: Keeper,
    lacks: list[str],
    flags: dict[str, object],
    expected: str,
) -> None:
    keeper.keep("app/writer", rds(**dict.fromkeys(lacks)))
    url = (await endpoint(configured(moto, **flags))).url(show_password=True)

    shown = expected.replace("*", SENTINEL)
    assert url == f"postgresql://{shown}?sslmode=prefer"


async def test_a_missing_secret_is_a_config_error(moto: str, keeper: Keeper) -> None:
    keeper.keep("app/other", rds())
    with pytest.raises(ConfigError, match=r"secret app/writer does not exist") as error:
        await endpoint(configured(moto))

    assert error.value.hint == "check its name and its region"
    assert not error.value.retryable


async def test_a_secret_that_will_be_deleted_is_a_config_error(
    moto: str, keeper: Keeper
) -> None:
    keeper.keep("app/writer", rds())
    keeper.client.delete_secret(SecretId="app/writer")
    with pytest.raises(ConfigError, match="is not available"):
        await endpoint(configured(moto))
    keeper.client.restore_secret(SecretId="app/writer")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (SENTINEL.encode(), "is binary"),
        (SENTINEL, "is not a JSON object"),
        (f'["{SENTINEL}"]', "is not a JSON object"),
        (rds(password=[SENTINEL]), "a password that is not text"),
        (rds(port=SENTINEL), "a port that is not a number"),
        (rds(engine="mysql"), "another database engine"),
        (rds(password=f"{SENTINEL}\0"), "cannot take"),
    ],
    ids=["binary", "text", "list", "type", "port", "engine", "nul"],
)
async def test_a_secret_of_another_shape_is_a_config_error(
    moto: str, keeper: Keeper, value: str | bytes, says: str
) -> None:
    keeper.keep("app/writer", value)
    with pytest.raises(ConfigError, match=says) as error:
        await endpoint(configured(moto))

    assert SENTINEL not in said_by(error.value) + held_by(error.value)


async def test_a_secret_is_fetched_once_for_all_who_need_it(
    moto: str, keeper: Keeper
) -> None:
    keeper.keep("app/writer", rds())
    settings = configured(moto, db_reader_host="r")
    store = store_of(settings)
    roles: list[Role] = ["writer", "reader", "admin", "migration"] * 5
    found = await asyncio.gather(*(endpoint(settings, role, store) for role in roles))

    assert len(found) == 20
    assert store.fetches == 1
    await endpoint(settings, "writer", store)
    assert store.fetches == 1


async def test_no_log_shows_what_aws_is_asked_and_answers(
    moto: str, keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.keep("app/writer", rds())
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    asked = configured(moto, aws_session_token="sessionSentinel")
    await endpoint(asked)
    credentials = Credentials(by_iam().access("writer"))
    token = await credentials.password(await credentials.endpoint(), Address("h"))
    shown = "".join(f"{it.getMessage()}{it.args!r}" for it in caplog.records)

    assert "botocore" in caplog.text
    assert token is not None
    signature = parse_qs(token.get_secret_value())["X-Amz-Signature"][0]
    secret_key = KEYS["aws_secret_access_key"]
    for hidden in (SENTINEL, "sessionSentinel", secret_key, signature):
        assert hidden not in shown


async def test_localstack_asks_nobody() -> None:
    settings = configured(
        "http://127.0.0.1:1", aws_use_localstack=True, db_host="h", db_user="u",
        db_password="p", aws_access_key_id=None,
    )  # fmt: skip
    store = store_of(settings)

    assert (await endpoint(settings, store=store)).password == SecretStr("p")
    assert store.fetches == 0


# --------------------------------------------------------------------- rotation


async def test_a_refused_password_is_fetched_again_once(
    moto: str, keeper: Keeper
) -> None:
    keeper.keep("app/writer", rds(password="old"))
    settings = configured(moto)
    store = store_of(settings)
    credentials = Credentials(settings.access("writer"), store)
    refused = await credentials.endpoint()
    keeper.change("app/writer", rds(username="app_clone", password="new"))
    renewed = await asyncio.gather(*(credentials.refreshed(refused) for _ in range(20)))

    assert {it and (it.user, it.password) for it in renewed} == {
        ("app_clone", SecretStr("new"))
    }
    assert store.fetches == 2
    assert await credentials.endpoint() == renewed[0]
    assert await credentials.refreshed(refused) == renewed[0]
    assert store.fetches == 2


async def test_a_password_that_stays_wrong_asks_once_and_not_once_a_connection(
    moto: str, keeper: Keeper
) -> None:
    keeper.keep("app/writer", rds())
    settings = configured(moto)
    store = store_of(settings)
    credentials = Credentials(settings.access("writer"), store)
    refused = await credentials.endpoint()
    for _ in range(10):
        assert await credentials.refreshed(refused) is None

    assert store.fetches == 2


async def test_a_later_rotation_is_seen_too(moto: str, keeper: Keeper) -> None:
    keeper.keep("app/writer", rds(password="0"))
    settings = configured(moto)
    store = store_of(settings)
    credentials = Credentials(settings.access("writer"), store)
    current = await credentials.endpoint()
    for number in ("1", "2"):
        keeper.change("app/writer", rds(password=number))
        async with asyncio.timeout(20):
            while (renewed := await credentials.refreshed(current)) is None:
                await asyncio.sleep(0.05)
        assert renewed.password == SecretStr(number)
        current = renewed


async def test_writer_and_reader_share_a_rotated_secret(
    moto: str, keeper: Keeper
) -> None:
    keeper.keep("app/writer", rds(password="old"))
    settings = configured(moto, db_reader_host="r")
    store = store_of(settings)
    roles: tuple[Role, ...] = ("writer", "reader")
    both = [Credentials(settings.access(role), store) for role in roles]
    refused = [await it.endpoint() for it in both]
    keeper.change("app/writer", rds(password="new"))
    renewed = [await it.refreshed(old) for it, old in zip(both, refused, strict=True)]

    assert [it and it.password for it in renewed] == [SecretStr("new")] * 2
    assert [it and it.addresses[0].host for it in renewed] == ["w.example.com", "r"]
    assert store.fetches == 2


async def test_a_server_that_refuses_a_rotated_password_gets_the_new_one(
    moto: str, keeper: Keeper, served: Served
) -> None:
    user = new_name("rotated")
    admin = await connect(served.writer)
    await admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'old'")
    address = served.writer.addresses[0]
    fields = {"username": user, "host": address.host, "port": address.port}
    place = {**fields, "dbname": served.name}
    keeper.keep("app/writer", rds(**place, password="old"))
    connectors = Connectors(configured(moto))
    connector = connectors.connector("writer")
    try:
        await (await connector()).close()
        await admin.execute(f"ALTER ROLE {user} PASSWORD 'new'")
        with pytest.raises(CredentialsError):
            await connector()
        keeper.change("app/writer", rds(**place, password="new"))
        async with asyncio.timeout(20):
            while True:
                try:
                    await (await connector()).close()
                except CredentialsError:
                    await asyncio.sleep(0.05)
                else:
                    break
        opened = await asyncio.gather(*(connector() for _ in range(10)))
        await asyncio.gather(*(it.close() for it in opened))
    finally:
        await admin.execute(f"DROP ROLE {user}")
        await admin.close()


# ----------------------------------------------------------- servers that misbehave


class Canned(BaseHTTPRequestHandler):
    """Answers every request as its test wants."""

    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b"{}"
    content_type: ClassVar[str] = "application/x-amz-json-1.1"
    delay_s: ClassVar[float] = 0
    asked: ClassVar[int] = 0

    def do_POST(self) -> None:
        kind = type(self)
        kind.asked += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(kind.delay_s)
        self.send_response(kind.status)
        self.send_header("Content-Type", kind.content_type)
        self.send_header("Content-Length", str(len(kind.body)))
        self.end_headers()
        self.wfile.write(kind.body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


class Server:
    """A real HTTP server with one canned answer."""

    def __init__(self) -> None:
        self.kind: type[Canned] = type("OneCanned", (Canned,), {})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.kind)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answers(self, body: bytes | str, *, status: int = 200, **more: object) -> None:
        changes = {
            "status": status,
            "body": body.encode() if isinstance(body, str) else body,
            **more,
        }
        for name, value in changes.items():
            setattr(self.kind, name, value)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Generator[Server]:
    """A Secrets Manager that answers what the test wants."""
    server = Server()
    yield server
    server.close()


def answered(secret: str) -> str:
    """Return the body in which Secrets Manager answers."""
    return json.dumps({"ARN": "arn", "Name": "app/writer", "SecretString": secret})


@pytest.mark.parametrize(
    ("code", "says", "kind"),
    [
        ("AccessDeniedException", "may not be read", ConfigError),
        ("DecryptionFailure", "cannot be decrypted", ConfigError),
        ("InvalidRequestException", "is not available", ConfigError),
        ("ResourceNotFoundException", "does not exist", ConfigError),
        ("ExpiredTokenException", r"refused by AWS \(ExpiredTokenExc", ConfigError),
        (f"x{SENTINEL}\x1b[31m", "was refused by AWS$", ConfigError),
        (
            "ThrottlingException",
            r"no answer .*\(ThrottlingException\)",
            UnreachableError,
        ),
        ("InternalServiceError", "no answer", UnreachableError),
    ],
    ids=lambda it: it if isinstance(it, str) and it.isalpha() else "",
)
async def test_a_refusal_of_aws_is_told_apart(
    server: Server, code: str, says: str, kind: type[DbopsError]
) -> None:
    body = {"__type": code, "message": SENTINEL}
    server.answers(json.dumps(body), status=400)
    with pytest.raises(kind, match=says) as error:
        await endpoint(configured(server.url))

    assert SENTINEL not in said_by(error.value)
    assert error.value.hint
    assert server.kind.asked <= 2
    assert error.value.retryable is (kind is UnreachableError)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
async def test_a_broken_server_is_no_answer(server: Server, status: int) -> None:
    server.answers(f"<html>{SENTINEL}</html>", status=status, content_type="text/html")
    with pytest.raises(UnreachableError) as error:
        await endpoint(configured(server.url))

    assert SENTINEL not in said_by(error.value)


@pytest.mark.parametrize(
    "body",
    [
        f"<html><body>please log in {SENTINEL}</body></html>", "", "{}", "null",
        f'["{SENTINEL}"]', f'"{SENTINEL}"', "[" * 100_000,
        f'{{"SecretString": {{"password": "{SENTINEL}"}}}}',
        f'{{"SecretString": 1, "x": "{SENTINEL}"}}',
        f'{{"SecretBinary": "{SENTINEL}"}}',
    ],
    ids=[str(number) for number in range(10)],
)  # fmt: skip
async def test_a_200_that_is_no_secret_is_a_config_error(
    server: Server, body: str
) -> None:
    server.answers(body, content_type="text/html")
    with pytest.raises(ConfigError) as error:
        await endpoint(configured(server.url))

    assert SENTINEL not in said_by(error.value)
    assert error.value.hint


def fuzzed_bodies(count: int) -> list[bytes]:
    """Return answers with the sentinel somewhere, most of them damaged."""
    chance = random.Random(7)  # noqa: S311 # the same bodies every time
    values = [
        SENTINEL, SENTINEL * 50, [SENTINEL], {"a": SENTINEL}, None, True, -1, 1.5, "",
        f"{SENTINEL}\0", "\ud800" + SENTINEL, f"\x1b[31m{SENTINEL}", 10**400,
    ]  # fmt: skip
    names = ["username", "password", "host", "port", "dbname", "engine", SENTINEL]
    bodies = []
    for number in range(count):
        fields = {chance.choice(names): chance.choice(values) for _ in range(6)}
        fields["password"] = fields.get("password", SENTINEL)
        secret = json.dumps(fields)
        if number % 3 == 0:
            secret = secret[: chance.randint(0, len(secret))]
        body = answered(secret)
        if number % 5 == 0:
            place = chance.randint(0, len(body))
            body = body[:place] + chance.choice('{}[]",:\\0é') + body[place + 1 :]
        bodies.append(body.encode())
    return bodies


async def test_no_answer_brings_out_a_byte_of_a_secret(server: Server) -> None:
    settings = configured(server.url, db_host="h", db_user="u")
    clients = store_of(settings).clients
    refused = 0
    for body in fuzzed_bodies(600):
        server.answers(body)
        store = store_of(settings)
        store.clients = clients
        refused += await is_refused(settings, store, body)
    assert refused >= 300


async def is_refused(settings: Settings, store: SecretStore, body: bytes) -> bool:
    """Tell whether an answer is refused; either way, nothing may show the sentinel."""
    found, said = None, ""
    try:
        found = await endpoint(settings, store=store)
    except DbopsError as error:
        said = said_by(error)
    if found is not None:
        # A sentinel in the place of a name is no secret.
        hosts = [it.host for it in found.addresses]
        names = "".join([found.user or "", found.database or "", *hosts])
        said = "" if SENTINEL in names else f"{found}{found!r}{found.url()}"
    assert SENTINEL not in said, body
    return found is None


class Silent:
    """Accepts connections, and then says nothing, or next to nothing."""

    def __init__(self, *, trickles: bool = False) -> None:
        self._trickles = trickles
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            self._held.append(accepted)
            if self._trickles:
                threading.Thread(
                    target=self._trickle, args=(accepted,), daemon=True
                ).start()

    def _trickle(self, accepted: socket.socket) -> None:
        try:
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                accepted.sendall(b" ")
                time.sleep(0.1)
        except OSError:
            return

    def close(self) -> None:
        for held in [self._socket, *self._held]:
            # close alone would not wake up a thread that is in accept.
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()


@pytest.fixture(params=[False, True], ids=["silent", "trickling"])
def silent(request: pytest.FixtureRequest) -> Generator[Silent]:
    """An endpoint that never answers."""
    silent = Silent(trickles=request.param)
    yield silent
    silent.close()


async def test_a_silent_endpoint_ends_with_the_deadline_for_all_at_once(
    silent: Silent,
) -> None:
    settings = configured(silent.url)
    store = store_of(settings, deadline_s=1.0)
    started = time.monotonic()
    ended = await asyncio.gather(
        *(endpoint(settings, store=store) for _ in range(20)), return_exceptions=True
    )

    assert time.monotonic() - started < 5
    assert all(isinstance(it, UnreachableError) for it in ended)
    assert "within 1 s" in str(ended[0])
    assert store.fetches == 1


async def test_after_a_deadline_the_next_one_asks_anew(silent: Silent) -> None:
    settings = configured(silent.url)
    store = store_of(settings, deadline_s=0.2)
    for _ in range(3):
        with pytest.raises(UnreachableError):
            await endpoint(settings, store=store)

    assert store.fetches == 3


async def test_the_usual_deadline_is_ten_seconds(silent: Silent) -> None:
    settings = configured(silent.url)
    started = time.monotonic()
    with pytest.raises(UnreachableError) as error:
        await Credentials(settings.access("writer")).endpoint()

    assert time.monotonic() - started < 11
    assert error.value.phase == "secret"
    assert error.value.retryable


async def test_the_loop_goes_on_while_the_endpoint_is_slow(server: Server) -> None:
    server.answers(answered(rds()), delay_s=1.0)
    settings = configured(server.url)
    credentials = Credentials(settings.access("writer"), store_of(settings))
    ticks: list[float] = []

    async def ticker() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    task = asyncio.create_task(ticker())
    refused = await credentials.endpoint()
    first = len(ticks)
    assert await credentials.refreshed(refused) is None
    task.cancel()

    # A blocked loop would not tick at all for a second.
    assert first >= 20
    assert len(ticks) - first >= 20
    gaps = [after - before for before, after in pairwise(ticks)]
    assert max(gaps) < 0.9


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(
    server: Server,
) -> None:
    server.answers(answered(rds()), delay_s=0.5)
    settings = configured(server.url)
    store = store_of(settings)
    tasks = [asyncio.create_task(endpoint(settings, store=store)) for _ in range(5)]
    await asyncio.sleep(0.1)
    tasks[0].cancel()
    tasks[3].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(it) for it in ended].count(Endpoint) == 3
    assert store.fetches == 1


def test_one_store_serves_several_loops_at_once(server: Server) -> None:
    server.answers(answered(rds()), delay_s=0.3)
    settings = configured(server.url)
    store = store_of(settings)
    users: list[str | None] = []

    async def several() -> None:
        found = await asyncio.gather(
            *(endpoint(settings, store=store) for _ in range(5))
        )
        users.extend(it.user for it in found)

    def in_a_loop_of_its_own() -> None:
        with asyncio.Runner() as runner:
            runner.run(several())

    threads = [threading.Thread(target=in_a_loop_of_its_own) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert users == ["app"] * 15
    assert store.fetches == 1


async def test_a_failure_is_not_kept(server: Server) -> None:
    settings = configured(server.url)
    store = store_of(settings)
    server.answers('{"__type": "AccessDeniedException"}', status=400)
    with pytest.raises(ConfigError):
        await endpoint(settings, store=store)
    server.answers(answered(rds()))

    assert (await endpoint(settings, store=store)).user == "app"


async def test_an_outage_during_a_refetch_keeps_what_was_kept(server: Server) -> None:
    server.answers(answered(rds()))
    settings = configured(server.url)
    store = store_of(settings)
    credentials = Credentials(settings.access("writer"), store)
    refused = await credentials.endpoint()
    server.answers("", status=503)
    with pytest.raises(UnreachableError):
        await credentials.refreshed(refused)

    assert await credentials.endpoint() == refused


# ---------------------------------------------------------------- how to reach AWS


async def test_a_refused_endpoint_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(UnreachableError, match="no HTTP answer"):
        await endpoint(configured(url))


@pytest.mark.parametrize(
    "url",
    [
        "nonsense", "http://", "http://[::1", "http://h:port", "://", "ftp://h",
        f"http://u:{SENTINEL}@h:bad",
    ],
)  # fmt: skip
async def test_a_malformed_endpoint_is_a_config_error(url: str) -> None:
    with pytest.raises(DbopsError) as error:
        await endpoint(configured(url), store=None)

    assert SENTINEL not in said_by(error.value)
    assert error.value.phase == "secret"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (
            {"aws_access_key_id": None, "aws_secret_access_key": None},
            "no AWS credentials",
        ),
        ({"aws_secret_access_key": None}, "half of the AWS credentials"),
        ({"aws_access_key_id": None}, "half of the AWS credentials"),
        ({"aws_region": None}, "no AWS region"),
        ({"aws_region": "eu west\n1"}, "malformed|no usable answer"),
        ({"aws_profile": "missing"}, r"no usable answer .*\(ProfileNotFound\)"),
    ],
    ids=["none", "id", "key", "region", "malformed", "profile"],
)
@pytest.mark.parametrize("auth", ["password", "iam"])
async def test_aws_that_is_not_configured_is_a_config_error(
    server: Server, flags: dict[str, object], says: str, auth: str
) -> None:
    server.answers(answered(rds()))
    settings = by_iam(**flags) if auth == "iam" else configured(server.url, **flags)
    credentials = Credentials(settings.access("writer"), store_of(settings))
    with pytest.raises(ConfigError, match=says) as error:
        await credentials.password(await credentials.endpoint(), Address("h"))

    assert error.value.hint
    assert error.value.phase == "secret"


@pytest.mark.parametrize(
    "text", ["[default", "\xff", "[profile x]\ncredential_process = /nonexistent\n"]
)
async def test_broken_files_of_aws_are_a_config_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    config = tmp_path / "config"
    config.write_text(text, encoding="latin-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    settings = configured(
        server.url, aws_profile="x", aws_access_key_id=None, aws_secret_access_key=None
    )
    with pytest.raises(ConfigError) as error:
        await endpoint(settings)

    assert error.value.hint


# ------------------------------------------------------------------------ IAM


def by_iam(**flags: object) -> Settings:
    place = {"db_host": "h.example.com", "db_port": 6432, "db_user": "iam user/@:%é"}
    return configured(None, auth="iam", db_secret_id=None, **{**place, **flags})


async def test_a_token_is_signed_for_the_host_the_port_and_the_user() -> None:
    settings = by_iam()
    credentials = Credentials(settings.access("writer"))
    found = await credentials.endpoint()
    token = await credentials.password(found, Address("other.example.com", 7))

    assert token is not None
    parts = urlsplit("https://" + token.get_secret_value())
    said = parse_qs(parts.query)
    assert parts.netloc == "other.example.com:7"
    assert said["DBUser"] == ["iam user/@:%é"]
    assert said["Action"] == ["connect"]
    assert said["X-Amz-Credential"][0].startswith("AKIATEST/")
    assert "/eu-west-1/rds-db/" in said["X-Amz-Credential"][0]
    assert found.sslmode == "require"
    assert token.get_secret_value() not in f"{found!r}{token!r}"


async def test_a_token_is_fresh_for_each_connection() -> None:
    credentials = Credentials(by_iam().access("writer"))
    found = await credentials.endpoint()

    async def token() -> str:
        said = await credentials.password(found, found.addresses[0])
        assert said is not None
        return said.get_secret_value()

    first = await token()
    async with asyncio.timeout(20):
        # A signature holds the time in whole seconds.
        while await token() == first:
            await asyncio.sleep(0.05)


async def test_a_token_takes_the_place_of_a_password_and_asks_no_secret(
    server: Server,
) -> None:
    server.answers(answered(rds()))
    settings = configured(server.url, auth="iam")
    store = store_of(settings)
    credentials = Credentials(settings.access("writer"), store)
    found = await credentials.endpoint()
    token = await credentials.password(found, found.addresses[0])

    assert token is not None
    assert token != SecretStr(SENTINEL)
    assert await credentials.refreshed(found) is None
    assert store.fetches == 1


async def test_a_reader_has_tokens_for_its_own_host() -> None:
    settings = by_iam(db_reader_host="r.example.com")
    credentials = Credentials(settings.access("reader"))
    found = await credentials.endpoint()
    token = await credentials.password(found, found.addresses[0])

    assert token is not None
    assert token.get_secret_value().startswith("r.example.com:6432/?")


async def test_a_password_with_odd_characters_arrives_whole(
    moto: str, keeper: Keeper, served: Served
) -> None:
    user = new_name("odd")
    odd = "@:/?#[]%41%&=+ '\"\\$*é漢🙂"
    admin = await connect(served.writer)
    quoted = odd.replace("'", "''")
    await admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{quoted}'")
    address = served.writer.addresses[0]
    try:
        keeper.keep("app/writer", rds(
                username=user, password=odd, host=address.host, port=address.port,
                dbname=served.name,
            ),
        )  # fmt: skip
        connector = Connectors(configured(moto)).connector("writer")
        async with connector.session() as connection:
            assert await connection.fetchval("SELECT current_user") == user
        said = await connector.endpoint()
        again = load_settings(flags={"database_url": said.url(show_password=True)})
        async with Connectors(again).connector("writer").session() as connection:
            assert await connection.fetchval("SELECT current_user") == user
    finally:
        await admin.execute(f"DROP ROLE {user}")
        await admin.close()

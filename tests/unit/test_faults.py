"""Words for what cannot be provoked at will."""

import asyncio
import errno
import socket
import ssl

import asyncpg
import pytest
from pydantic import SecretStr
from typing_extensions import override

from dbops.endpoint import Address, Endpoint
from dbops.engine.connect import ConnectOptions
from dbops.engine.dialling.first_words import FirstWords
from dbops.engine.faults.translate import (
    server_message,
    sqlstate,
    translate,
    translated,
)
from dbops.errors import (
    CredentialsError,
    DbopsError,
    FailedError,
    LockedError,
    RefusedError,
    UnreachableError,
)

SECRET = "hunter2-hunter2"
HERE = Endpoint(
    addresses=(Address("db.example"),),
    user="me",
    database="books",
    password=SecretStr(SECRET),
)


def said(state: str, message: str) -> asyncpg.PostgresError:
    """Make the driver's error as it makes it from a server's words."""
    error: asyncpg.PostgresError = asyncpg.PostgresError.new(
        {"S": "ERROR", "V": "ERROR", "C": state, "M": message}
    )
    return error


def of(error: BaseException, phase: str = "query") -> DbopsError:
    fault = translate(error, HERE, phase=phase)
    assert fault is not None
    return fault


@pytest.mark.parametrize(
    ("state", "kind", "retryable"),
    [
        ("57P01", UnreachableError, True),
        ("57P02", UnreachableError, True),
        ("57P03", UnreachableError, True),
        ("57P04", UnreachableError, True),
        ("57P05", UnreachableError, True),
        ("25P03", UnreachableError, True),
        ("25P04", UnreachableError, True),
        ("08006", UnreachableError, True),
        ("53300", UnreachableError, True),
        ("57014", UnreachableError, True),
        ("55P03", LockedError, True),
        ("40P01", LockedError, True),
        ("40001", FailedError, True),
        ("53100", FailedError, False),
        ("53200", FailedError, False),
        ("42P07", FailedError, False),
        ("XX000", FailedError, False),
        ("25006", RefusedError, False),
        ("42501", RefusedError, False),
        ("0A000", RefusedError, False),
        ("55006", RefusedError, False),
        ("3D000", RefusedError, False),
        ("28P01", CredentialsError, False),
    ],
)
def test_each_sqlstate_has_its_class(
    state: str, kind: type[DbopsError], *, retryable: bool
) -> None:
    error = of(said(state, "words of the server"))
    assert (type(error), error.retryable) == (kind, retryable)
    assert error.sqlstate == state
    assert "words of the server" in error.message


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("unsupported startup parameter: options", RefusedError),
        ("no such database: books", RefusedError),
        ('server login failed: FATAL database "books" does not exist', RefusedError),
        ("no such user: me", CredentialsError),
        ("SASL authentication failed", CredentialsError),
        (
            "server login failed: FATAL password authentication failed",
            UnreachableError,
        ),
        ("query_wait_timeout", UnreachableError),
        ("no more connections allowed (max_client_conn)", UnreachableError),
        ("pgbouncer cannot connect to server", UnreachableError),
    ],
)
def test_the_words_of_a_pooler_are_told_apart(
    message: str, kind: type[DbopsError]
) -> None:
    assert type(of(said("08P01", message), "auth")) is kind


def test_a_secret_in_a_servers_words_is_cut_out() -> None:
    error = of(said("42601", f"syntax error at or near '{SECRET}'"))
    assert SECRET not in error.message
    assert "***" in error.message


@pytest.mark.parametrize("phase", ["auth", "query"])
def test_a_servers_words_are_one_clean_line(phase: str) -> None:
    hostile = (
        "one\ntwo\r\n\tthree \x1b]0;x\x07 \x9b31m \u202e\u2028 four\x00" + "x" * 9999
    )
    error = translate(said("XX000", hostile), HERE, phase=phase)
    assert error is not None
    assert error.message.isprintable()
    assert len(error.message) < 700


def test_a_hosts_name_is_one_clean_line() -> None:
    place = Endpoint(addresses=(Address("a\n\x1b[31mb"),))
    fault = translate(ConnectionRefusedError(), place, phase="connect")
    assert fault is not None
    assert fault.message.isprintable()


@pytest.mark.parametrize("phase", ["resolve", "connect", "tls", "auth", "query"])
@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ConnectionError("unexpected connection_lost() call"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        ssl.SSLError(1, "[SSL] record layer failure"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ProtocolError("unexpected message"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
def test_a_broken_network_is_unreachable_in_every_phase(
    error: Exception, phase: str
) -> None:
    fault = of(error, phase)
    assert type(fault) is UnreachableError
    assert fault.message
    assert "None" not in fault.message


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "models.py"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("x"),
        KeyError("x"),
        asyncpg.InterfaceError("another operation is in progress"),
        asyncpg.DataError("invalid input for query argument $1: 'secret'"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
def test_what_goes_wrong_beside_the_network_is_nobodys_but_ours(
    error: Exception,
) -> None:
    assert translate(error, HERE, phase="query") is None


def test_a_name_server_that_does_not_answer_is_not_an_unknown_name() -> None:
    again = of(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "resolve")
    unknown = of(socket.gaierror(socket.EAI_NONAME, "Name not known"), "resolve")
    assert "has no answer" in again.message
    assert "is not known" in unknown.message


def test_the_servers_reason_counts_more_than_the_drivers() -> None:
    broken = asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")
    broken.__cause__ = said("57P01", "terminating connection")
    error = of(broken)
    assert error.sqlstate == "57P01"
    assert "terminating connection" in error.message


def test_what_was_only_being_handled_is_not_the_cause() -> None:
    bug = KeyError("x")
    bug.__context__ = said("42501", "no")
    assert sqlstate(bug) is None
    assert translate(bug, HERE, phase="query") is None
    assert server_message(bug) == "'x'"


def test_an_error_of_ours_passes_as_it_is() -> None:
    ours = RefusedError("no")
    assert translate(ours, HERE, phase="auth") is ours
    with pytest.raises(RefusedError) as caught, translated(HERE):
        raise ours
    assert caught.value is ours


def test_the_time_out_is_named() -> None:
    fault = translate(TimeoutError(), HERE, phase="tls", limit_s=0.25)
    assert fault is not None
    assert "within 0.25 s (tls)" in fault.message


@pytest.mark.parametrize(
    ("options", "connect_s", "command_s", "close_s"),
    [
        (ConnectOptions(), 30, 10, 1),
        (ConnectOptions(command_timeout_s=None), 30, None, 2),
        (ConnectOptions(max_timeout_s=0.9), 0.9, 0.9, 0.1),
        (ConnectOptions(max_timeout_s=60), 30, 10, 1),
        (ConnectOptions(command_timeout_s=None, max_timeout_s=5), 5, None, 0.5),
        (ConnectOptions(command_timeout_s=600), 30, 600, 2),
    ],
)
def test_the_whole_budget_bounds_every_time_out(
    options: ConnectOptions, connect_s: float, command_s: float | None, close_s: float
) -> None:
    patient = Endpoint(connect_timeout_s=30)
    assert options.connect_limit_s(patient) == connect_s
    assert options.command_limit_s() == command_s
    assert options.close_limit_s() == pytest.approx(close_s)


class Heard(asyncio.Protocol):
    """A driver and a transport in one that remember what reached them."""

    def __init__(self) -> None:
        self.data = b""
        self.is_aborted = False

    @override
    def data_received(self, data: bytes) -> None:
        self.data += data

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert protocol is self

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize(
    ("words", "is_postgresql"),
    [
        (b"R\0\0\0\x08\0\0\0\0", True),
        (b"E\0\0\0\x05\0", True),
        (b"N\0\0\0\x05\0", True),
        (b"v\0\0\0\x0c\0\0\0\0\0\0\0\0", True),
        (b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", True),
        (b"R\0\0\0\x08\0\0\0\x0b", False),
        (b"R\0\0\0\x08\0\0\0\x0c", False),
        (b"R\0\0\0\x03\0", False),
        (b"R\0\0\0\0\0", False),
        (b"R\xff\xff\xff\xff", False),
        (b"\0\0\0\0\0", False),
        (b"HTTP/1.1 200 OK", False),
        (b"SSH-2.0-OpenSSH", False),
        (b"Reply: hello", False),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_only_a_servers_first_words_reach_the_driver(
    words: bytes, *, is_postgresql: bool, at_once: bool
) -> None:
    heard, strangers = Heard(), []
    first = FirstWords(heard, lambda: strangers.append(1))
    first.connection_made(heard)  # type: ignore[arg-type] # as much of a transport as it takes
    pieces = [words] if at_once else [words[:3], words[3:]]
    for piece in pieces:
        first.data_received(piece)
    assert heard.data == (words if is_postgresql else b"")
    assert (heard.is_aborted, bool(strangers)) == (not is_postgresql, not is_postgresql)

"""One line for each sample, for a file, a pipe or a log."""

import json
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, TextIO

from dbops.cli import exit_codes
from dbops.cli.render import document, write_json
from dbops.cli.watch.enough import Enough
from dbops.operations.watch import Sample, SampledServer


async def printed(
    samples: AsyncIterator[Sample],
    stream: TextIO,
    enough: Enough,
    target: str,
    *,
    as_json: bool,
) -> int:
    """Write a line for each sample; return the exit code of the last one."""
    try:
        async for sample in samples:
            is_last = enough.is_after(sample)
            if as_json:
                write_json(_document(sample, target, enough.code), stream)
            else:
                stream.write(line(sample) + "\n")
                stream.flush()
            if is_last:
                break
    except BrokenPipeError:
        # Whoever read along has gone, as `head` does.
        return exit_codes.of_signal(signal.SIGPIPE)
    return enough.code


def line(sample: Sample) -> str:
    """Return a sample as `TIME name=value …`, a name for each thing that is asked.

    Values are words or numbers, or JSON strings; `unknown` stands for what is not
    known, and nothing is zero that is not.
    """
    pairs = " ".join(f"{name}={_value(value)}" for name, value in _pairs(sample))
    return f"{time_text(sample.sampled_at)} {pairs}"


def time_text(when: datetime) -> str:
    """Return an instant as ISO 8601 in UTC, with milliseconds."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _document(sample: Sample, target: str, code: int) -> dict[str, Any]:
    problem = sample.problem
    return document("watch", target, exit_code=code, result=sample, problem=problem)


def _pairs(sample: Sample) -> Iterator[tuple[str, object]]:
    yield "status", str(sample.status)
    for server in sample.servers:
        yield from _of_server(server)
    if sample.lag is not None:
        yield "lag_status", str(sample.lag.status)
        yield "lag_low_s", sample.lag.low_s
        yield "lag_high_s", sample.lag.high_s
        yield "bytes_behind", sample.lag.bytes_behind
        yield "lag", json.dumps(sample.lag.summary)
    yield "doctor", None if sample.doctor is None else str(sample.doctor.status)
    if sample.problem is not None:
        yield "error", json.dumps(sample.problem.message)


def _of_server(server: SampledServer) -> Iterator[tuple[str, object]]:
    role, held = server.role, server.connections
    yield role, str(server.state)
    if server.since is not None:
        yield f"{role}_since", time_text(server.since)
    yield f"{role}_latency_ms", server.latency_ms
    yield f"{role}_connections", held and held.in_use
    yield f"{role}_usable", held and held.usable
    transactions = server.transactions or ()
    oldest_s = round(max((it.age_s for it in transactions), default=0.0), 3)
    # Nothing seen is nothing known where others' transactions are hidden.
    is_known = server.transactions is not None and server.requires is None
    yield f"{role}_oldest_transaction_s", oldest_s if is_known else None
    waiting = None if server.waits is None else len({it.pid for it in server.waits})
    yield f"{role}_waiting_for_locks", waiting


def _value(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)

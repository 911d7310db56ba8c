"""Is an endpoint well, and what its role says?"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dbops.errors import RefusedError
from dbops.limits import Limit, Unit, amount_text
from dbops.operations.ping.question import Identity
from dbops.operations.ping.sample import Sample
from dbops.operations.ping.series import Series
from dbops.operations.ping.spread import percentile
from dbops.operations.ping.thresholds import CERTIFICATE
from dbops.results import Problem, Status
from dbops.units import duration_text

# Made read-only for us alone, and not for the application.
_FOR_US = frozenset({"user", "database user", "client", "session"})
_MOST = 0.95


class Verdict(NamedTuple):
    """One thing that is not as it should be, or worth knowing."""

    status: Status
    """Ok for what is only worth knowing."""
    message: str
    """One sentence, as far as a comma may part it."""
    problem: Problem | None = None
    """What decides the exit code; None leaves that to the status."""


def verdicts(
    series: Series, writer: Identity | None, limits: Mapping[Unit, Limit]
) -> Iterator[Verdict]:
    """Judge what the connections to one endpoint have shown.

    Args:
        series: The connections, of which one has answered at least.
        writer: Who the writer is; None if this is it, or if it is not known.
        limits: From when on an answer is too slow, or missing too often.
    """
    last = series.samples[-1]
    yield from _of_failures(series, limits["%"])
    if series.role == "writer":
        yield from _of_writer(last)
    else:
        yield from _of_reader(last, writer)
    yield from _of_time(series, limits["s"])
    yield from _of_certificate(last)


def _of_failures(series: Series, limit: Limit) -> Iterator[Verdict]:
    if series.failures:
        said = Counter(it.message for it in series.failures)
        status = limit.graded(100 * len(series.failures) / series.count)
        many = f"{len(series.failures)} of {series.count} connections failed"
        message = f"{many}: {'; '.join(said)}"
        problem = None
        if status is Status.FAIL:
            problem = Problem.of(series.failures[0].retold(message))
        yield Verdict(status, message, problem)
    if series.count < series.wanted:
        yield Verdict(
            Status.WARN,
            f"{series.count} of {series.wanted} connections were made, "
            "there was no time for more",
        )


def _of_writer(sample: Sample) -> Iterator[Verdict]:
    who = sample.identity
    if who.is_in_recovery:
        yield _refused(
            f"{sample.address} is given as the writer and is a standby",
            "point DATABASE_URL at the primary, or name several hosts with "
            "target_session_attrs=read-write",
        )
    elif who.is_read_only and who.read_only_from in _FOR_US:
        yield Verdict(
            Status.WARN,
            "default_transaction_read_only is on for our role: whether others can "
            "write is not known",
        )
    elif who.is_read_only:
        yield _refused(
            f"{sample.address} is given as the writer and refuses writes: "
            "default_transaction_read_only is on",
            "find out who has set it, in postgresql.conf or for the database",
        )


def _of_reader(sample: Sample, writer: Identity | None) -> Iterator[Verdict]:
    who, accepts = sample.identity, "this reader is not a standby: it accepts writes"
    if writer is None:
        if not who.is_in_recovery and not who.is_read_only:
            why = "whether it is the writer itself is not known"
            yield Verdict(Status.WARN, f"{accepts}; {why}")
        return
    if who.instance == writer.instance:
        if not who.is_in_recovery:
            yield Verdict(Status.WARN, "the reader is the writer: both are one server")
        return
    ours, theirs = who.system_identifier, writer.system_identifier
    if ours is None or theirs is None:
        yield Verdict(Status.OK, _why_hidden(who))
    elif ours != theirs:
        yield _refused(
            f"the reader {sample.address} belongs to another cluster than the writer",
            "check DATABASE_URL and DATABASE_READER_URL",
        )
        return
    if not who.is_in_recovery and not writer.is_in_recovery:
        if ours is not None and ours == theirs:
            yield _refused(
                f"the reader {sample.address} was promoted: there are two primaries",
                "find out which one applications write to, and rebuild the other",
            )
        elif not who.is_read_only:
            yield _refused(
                f"{accepts}, and it is not the writer",
                "check DATABASE_URL and DATABASE_READER_URL",
            )


def _why_hidden(who: Identity) -> str:
    unknown = "whether both are of one cluster is not known"
    if who.is_aurora:
        return f"{unknown}: Aurora does not tell"
    grant = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() to our roles"
    return f"{unknown}: {grant}"


def _of_time(series: Series, limit: Limit) -> Iterator[Verdict]:
    total_s = percentile([it.latency.total for it in series.samples], _MOST) / 1000
    status = limit.graded(total_s)
    if status is not Status.OK:
        bound = limit.fail if status is Status.FAIL else limit.warn
        took = duration_text(round(total_s, 4))
        which = "it took" if len(series.samples) == 1 else "95 % took up to"
        yield Verdict(
            status, f"{which} {took}, the limit is {amount_text(bound or 0, 's')}"
        )


def _of_certificate(sample: Sample) -> Iterator[Verdict]:
    tls = sample.tls
    if tls.in_use and tls.certificate_days_left is None:
        yield Verdict(Status.OK, "until when the certificate is valid is not known")
    if tls.certificate_days_left is None or tls.certificate_expires is None:
        return
    left, on = tls.certificate_days_left, f"{tls.certificate_expires:%Y-%m-%d %H:%M}"
    warn, fail = CERTIFICATE
    if left < warn:
        status = Status.FAIL if left < fail else Status.WARN
        ends = "has expired" if left < 0 else "expires"
        many = "" if left < 0 else f", in {left:.3g} days"
        yield Verdict(status, f"the server's certificate {ends} on {on} UTC{many}")


def _refused(message: str, hint: str) -> Verdict:
    error = RefusedError(message, hint=hint, phase="query")
    return Verdict(Status.FAIL, message, Problem.of(error))

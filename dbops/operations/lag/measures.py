"""The numbers of a check of the lag, and from where on they are bad."""

from collections.abc import Iterator, Mapping
from typing import Self

from dbops.limits import Limit, Unit
from dbops.operations.lag.answer import Answer
from dbops.results import Measure, Model


class Thresholds(Model):
    """From where on it is bad; null is never."""

    warn_s: float | None = None
    """Seconds behind that are worth a warning."""
    fail_s: float | None = None
    """Seconds behind that fail."""
    warn_bytes: float | None = None
    """Bytes behind that are worth a warning."""
    fail_bytes: float | None = None
    """Bytes behind that fail."""

    @classmethod
    def of(cls, limits: Mapping[Unit, Limit]) -> Self:
        """Write limits of seconds and bytes as a part of a result."""
        age = limits["s"]
        size = limits.get("B") or Limit(None, None, "B")
        return cls(
            warn_s=age.warn,
            fail_s=age.fail,
            warn_bytes=size.warn,
            fail_bytes=size.fail,
        )


def measures_of(
    answer: Answer, thresholds: Thresholds | None, *, is_one_of_many: bool = False
) -> Iterator[Measure]:
    """Yield the numbers of one reader; None where they are not known."""
    limits = thresholds or Thresholds()
    labels = {"role": "reader"}
    if is_one_of_many:
        labels["reader"] = answer.reader.address
    bounds = (
        ("lag_low", answer.lag_low_s, "The reader is at least so far behind."),
        ("lag_high", answer.lag_high_s, "The reader is at most so far behind."),
    )
    for name, value, about in bounds:
        yield Measure(name, value, "s", labels, limits.warn_s, limits.fail_s, about)
    size = answer.bytes_behind
    yield Measure(
        "bytes_behind",
        None if size is None else float(size),
        "B",
        labels,
        limits.warn_bytes,
        limits.fail_bytes,
        "WAL of the writer that the reader had not replayed.",
    )

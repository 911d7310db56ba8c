"""Does a sequence come to its end, or to the end of the column that it fills?"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from dbops.limits import Limit
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import Found, Limits, ServerCheck, severity
from dbops.operations.doctor.objects import some
from dbops.operations.doctor.sequence_state import SequenceState
from dbops.operations.doctor.sequences import sequences
from dbops.operations.doctor.servers import Server
from dbops.results import Status

_TYPES = {2: "smallint", 4: "integer", 8: "bigint"}


async def find(server: Server, limits: Limits) -> Found:
    """Grade how much of each sequence is used; say which cannot be read."""
    known = await sequences(server)
    hidden = [it for it in known if not it.may_read]
    graded = [(it, limits["value"].graded(it.share_used)) for it in known if _ends(it)]
    ending = [_ending(it, status) for it, status in graded if status is not Status.OK]
    grants = [_hidden(server, name, list(its)) for name, its in _by_schema(hidden)]
    locked = [_locked(it) for it in known if it.may_read and it.is_locked]
    fresh = [it.name for it in known if it.is_fresh]
    shares = [it.share_used for it, _ in graded if it.share_used is not None]
    said = f"the fullest sequence has used {max(shares, default=0):.1f}% of its values"
    if not shares:
        said = "no sequence is known that ends" if known else "there is no sequence"
    return Found(
        said + (f"; {len(hidden)} cannot be read" if hidden else ""),
        (*ending, *grants, *locked),
        (f"not used since they were made, or set: {some(fresh)}",) if fresh else (),
        "; ".join(it.remedy for it in grants if it.remedy) or None,
    )


def _ends(sequence: SequenceState) -> bool:
    """Tell whether one has an end and can be read: a cycle begins again."""
    begins_again = sequence.is_cycling and not sequence.is_held_by_column
    return sequence.value is not None and not begins_again


def _by_schema(
    hidden: Iterable[SequenceState],
) -> Iterator[tuple[str, Iterator[SequenceState]]]:
    return groupby(sorted(hidden, key=lambda it: it.schema), key=lambda it: it.schema)


def _ending(sequence: SequenceState, status: Status) -> Finding:
    holds = "the sequence's own limit"
    if sequence.width is not None and sequence.end == sequence.end_of_column:
        kind = _TYPES[sequence.width]
        holds = f"{sequence.table}.{sequence.column} is {kind}"
        if sequence.width < max(_TYPES):
            holds += ", and to widen it locks and rewrites the table"
    return Finding(
        object=sequence.name,
        message=f"{sequence.share_used:.4g}% of its values are used: it is at "
        f"{sequence.value} and ends at {sequence.end}: {holds}",
        remedy=_remedy(sequence),
        severity=severity(status),
    )


def _remedy(sequence: SequenceState) -> str | None:
    """Return what widens the column first, and then the sequence."""
    steps = []
    if sequence.width is not None and sequence.width < max(_TYPES):
        steps.append(
            f"ALTER TABLE {sequence.table} ALTER COLUMN {sequence.column} TYPE bigint"
        )
    widest = -(1 << 63) if sequence.step < 0 else (1 << 63) - 1
    end = sequence.low if sequence.step < 0 else sequence.high
    if end != widest and not (steps and sequence.is_identity and _is_typical(end)):
        which = "MINVALUE" if sequence.step < 0 else "MAXVALUE"
        steps.append(f"ALTER SEQUENCE {sequence.name} AS bigint NO {which}")
    return "; ".join(steps) or None


def _is_typical(end: int) -> bool:
    """Tell whether it is a type's own end, which an identity column takes along."""
    return any(end in ((1 << 8 * it - 1) - 1, -(1 << 8 * it - 1)) for it in _TYPES)


def _hidden(server: Server, schema: str, hidden: list[SequenceState]) -> Finding:
    names = some([it.name for it in hidden])
    return Finding(
        object=f"{schema}.*",
        message=f"{server.user} may not read {names}: that takes SELECT "
        "on them or pg_read_all_data, and pg_monitor is not enough",
        remedy=f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {server.user}",
        severity=Severity.UNKNOWN,
    )


def _locked(sequence: SequenceState) -> Finding:
    return Finding(
        object=sequence.name,
        message="it is locked by somebody who changes it",
        severity=Severity.UNKNOWN,
    )


CHECK = ServerCheck(
    id="D34",
    title="sequences",
    question="Does a sequence come to its end, or to the end of the column that it "
    "fills?",
    scope="database",
    on="writer",
    find=find,
    limits={"value": Limit(75, 90, "%")},
)

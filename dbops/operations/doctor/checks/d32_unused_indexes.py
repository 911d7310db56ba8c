"""Does an index serve nobody, neither on the writer nor on the reader?

Each server counts its own queries: what the writer never scans may carry the reader.
"""

from dbops.limits import Limit, amount_text
from dbops.operations.doctor.answer import Finding, Severity
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    NotApplicableError,
    UndecidedError,
)
from dbops.operations.doctor.index_use import (
    UnusedIndex,
    counted_s,
    span_text,
    standbys,
    unused_indexes,
)
from dbops.operations.doctor.objects import drop_index
from dbops.operations.doctor.servers import Cluster, Server

_DAY_S = 86400.0


async def find(cluster: Cluster, limits: Limits) -> Found:
    """List what no query used for so long on any server that was asked."""
    writer = cluster.writer
    if writer is None and "writer" not in cluster.failures:
        raise NotApplicableError("no writer is configured")
    if writer is None:
        raise UndecidedError("the writer gives no answer")
    if writer.is_standby:
        raise UndecidedError("what is configured as the writer is a standby")
    age_s, idle_s = limits["value"].warn or 0.0, limits["idle"].warn or float("inf")
    covered_s = await counted_s(writer, at_least_s=age_s)
    here = await unused_indexes(writer, idle_s=idle_s)
    unused = {name: it for name, it in here.items() if _had_its_chance(it, age_s)}
    reader = await _reader(cluster, writer) if unused else None
    others = 0
    if reader is not None:
        covered_s = min(covered_s, await counted_s(reader, at_least_s=age_s))
        there = await unused_indexes(reader, idle_s=idle_s, names=unused)
        unused = {name: it for name, it in unused.items() if name in there}
        others = await standbys(writer) - 1 + await standbys(reader)
    where = "on writer and reader" if reader else "on the writer"
    since = span_text(covered_s)
    return Found(
        f"indexes that no query used {where} in {since}: {len(unused)}"
        if unused
        else "every index is used, needed or young",
        tuple(_finding(name, it, where, since) for name, it in sorted(unused.items())),
        (f"standbys that were not asked, and may use them: {others}",)
        if unused and others > 0
        else (),
    )


def _had_its_chance(index: UnusedIndex, age_s: float) -> bool:
    is_young = index.made_s is not None and index.made_s < age_s
    return index.is_filled and not is_young


async def _reader(cluster: Cluster, writer: Server) -> Server | None:
    """Return who else has to be asked; None where there is nobody else."""
    reader = cluster.reader
    if "reader" in cluster.failures:
        raise UndecidedError(
            "the reader gives no answer, and may use what the writer does not"
        )
    if reader is None or not reader.is_standby:
        number = await standbys(writer)
        if number:
            raise UndecidedError(
                f"the writer has standbys ({number}), and none is configured as the "
                "reader: they may use what it does not",
                requires="DATABASE_READER_URL",
            )
        return None
    if reader.database != writer.database:
        raise UndecidedError("the reader's URL names another database")
    return reader


def _finding(name: str, index: UnusedIndex, where: str, since: str) -> Finding:
    size = amount_text(index.size_bytes, "B")
    return Finding(
        object=name,
        message=f"no query has used the index on {index.table} {where} in the {since} "
        f"that statistics cover; it takes {size}",
        remedy=drop_index(name, index.kind),
        severity=Severity.INFO,
    )


CHECK = ClusterCheck(
    id="D32",
    title="unused indexes",
    question="Does an index serve nobody, neither on the writer nor on the reader?",
    scope="database",
    find=find,
    limits={
        "value": Limit(14 * _DAY_S, None, "s"),
        "idle": Limit(180 * _DAY_S, None, "s"),
    },
)

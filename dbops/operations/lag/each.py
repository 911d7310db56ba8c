"""How far behind is each reader?

Each host that the reader's endpoint names is asked; a standby that the writer knows of
and nobody asked is told of, and is unknown. On Aurora every instance knows of all.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from dbops.engine.aurora import IS_AURORA
from dbops.engine.connect import Connector
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError
from dbops.limits import Limit, Unit
from dbops.operations.lag.answer import Answer, Node
from dbops.operations.lag.aurora import each_instance
from dbops.operations.lag.check import asked, hurried, opened
from dbops.operations.lag.kinds import Freshness, Pipeline
from dbops.operations.lag.result import Lag
from dbops.operations.lag.terms import Terms
from dbops.operations.lag.thresholds import DEFAULTS
from dbops.operations.replica.questions import ON_READER
from dbops.operations.replica.standbys import STANDBYS, Standby, matching
from dbops.results import Status, worst


async def lag_of_each(
    writer: Connector | None,
    reader: Connector,
    *,
    limits: Mapping[Unit, Limit] = DEFAULTS,
    require_replica: bool = False,
    probe: bool = False,
    budget_s: float | None = None,
) -> Lag:
    """Ask every reader, at once.

    Args:
        writer: As of `lag`.
        reader: How to connect to the readers; each of its hosts is one.
        limits: As of `lag`.
        require_replica: As of `lag`.
        probe: As of `lag`.
        budget_s: As of `lag`.

    Returns:
        The worst of them, and in `readers` each.

    Raises:
        DbopsError: As `lag`.
    """
    started = asyncio.get_running_loop().time()
    addresses = dict.fromkeys((await reader.endpoint()).addresses)
    connectors = [reader.to(address) for address in addresses]
    async with AsyncExitStack() as stack:
        ways = [*([writer] if writer else []), *connectors]
        found = await asyncio.gather(*(opened(stack, way) for way in ways))
        primary = found.pop(0) if writer else None
        terms = Terms(limits, require_replica, probe)
        if budget_s is not None:
            terms = hurried(terms, started, budget_s)
        answers = await asyncio.gather(
            *(
                asked(primary, standby, terms, reader=connector)
                for standby, connector in zip(found, connectors, strict=True)
            )
        )
        others = await _others(primary, found, limits["s"])
    return _together(answers, others)


async def _others(
    writer: ReadOnly | DbopsError | None,
    readers: Sequence[ReadOnly | DbopsError],
    limit: Limit,
) -> list[Answer]:
    """Answer for the readers that nobody has asked."""
    answering = [it for it in readers if isinstance(it, ReadOnly)]
    with suppress(DbopsError):
        first = writer if isinstance(writer, ReadOnly) else None
        if first is None and answering:
            first = answering[0]
        if first is not None and await first.value(IS_AURORA):
            return await each_instance(first, answering, limit=limit)
        if isinstance(writer, ReadOnly):
            return await _unasked(writer, answering)
    return []


async def _unasked(writer: ReadOnly, readers: Sequence[ReadOnly]) -> list[Answer]:
    listed = [Standby(**row) for row in await writer.rows(STANDBYS)]
    for reader in readers:
        with suppress(DbopsError):
            state: dict[str, Any] = await reader.row(ON_READER, None)
            # One that shares its name with others is one of them, whichever.
            for known in matching(listed, state)[:1]:
                listed.remove(known)
    return [_unknown(it, writer) for it in listed if it.state != "backup"]


def _unknown(standby: Standby, writer: ReadOnly) -> Answer:
    return Answer(
        status=Status.UNKNOWN,
        freshness=Freshness.UNKNOWN,
        pipeline=Pipeline.UNKNOWN,
        summary=f"the standby {standby} receives from the writer, and was not asked",
        requires="name its host in DATABASE_READER_URL too",
        bytes_behind=standby.bytes_behind,
        reader=Node(
            host=standby.address or standby.name,
            port=None,
            is_in_recovery=None,
            instance=standby.name,
            upstream=str(writer.address),
        ),
    )


def _together(answers: Sequence[Lag], others: Sequence[Answer]) -> Lag:
    status = worst(it.status for it in (*answers, *others))
    known = {it.reader.instance for it in answers if it.reader.instance}
    more = [it for it in others if it.reader.instance not in known]
    everybody = [*answers, *more]
    bad = next(it for it in everybody if it.status is status)
    fields = {name: getattr(bad, name) for name in Answer.model_fields}
    problems = [it.error for it in answers if it.error is not None]
    said = f"{len(everybody)} readers, of which the worst: {bad.summary}"
    return answers[0].model_copy(
        update={
            **fields,
            "summary": said if len(everybody) > 1 else bad.summary,
            "readers": tuple(_answer(it) for it in everybody),
            "error": problems[0] if problems else None,
        }
    )


def _answer(found: Answer) -> Answer:
    return Answer(**{name: getattr(found, name) for name in Answer.model_fields})

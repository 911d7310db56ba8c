"""From a primary's first answer to what was seen of its reader."""

import asyncio
from math import inf
from typing import Any

from dbops.engine.faults.translate import translated
from dbops.engine.read_only import ReadOnly
from dbops.errors import DbopsError, UnreachableError
from dbops.operations.lag.terms import Terms
from dbops.operations.lag.thresholds import patience_s
from dbops.operations.lag.waiting import Observed, Watch
from dbops.operations.replica.judgement import Token
from dbops.operations.replica.token import token_of

# Writes one record with a commit behind it, and waits for no synchronous standby.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
PROBE = """
    BEGIN;
    SET LOCAL synchronous_commit = local;
    SELECT pg_catalog.pg_logical_emit_message(true, 'dbops.lag', '');
    COMMIT
"""


class SilentReaderError(Exception):
    """The reader gave no answer."""

    def __init__(self, why: DbopsError) -> None:
        super().__init__(why.message)
        self.why = why


async def watched(
    writer: ReadOnly,
    reader: ReadOnly,
    row: dict[str, Any],
    terms: Terms,
    *,
    asked: float,
) -> tuple[Token, Observed]:
    """Take the writer's position and wait for it on the reader.

    Args:
        writer: The primary.
        reader: One of its readers.
        row: The primary's row of ON_WRITER.
        terms: How long to wait.
        asked: When that row was asked for, on the clock of `monotonic`.

    Raises:
        SilentReaderError: If the reader gives no answer.
        DbopsError: As `ReadOnly.rows`, for the writer.
    """
    token, observed = await _once(
        writer, reader, row, terms, asked=asked, is_patient=False
    )
    is_late = (
        terms.deadline is not None
        and asyncio.get_running_loop().time() >= terms.deadline
    )
    if token.is_all or is_late or _is_settled(observed):
        return token, observed
    return await _once(writer, reader, row, terms, asked=asked, is_patient=True)


async def _once(
    writer: ReadOnly,
    reader: ReadOnly,
    row: dict[str, Any],
    terms: Terms,
    *,
    asked: float,
    is_patient: bool,
) -> tuple[Token, Observed]:
    token = await token_of(writer, row, is_patient=is_patient)
    warn_s, fail_s, _ = terms.limits["s"]
    watch = Watch(writer, reader, token, asked=asked)
    try:
        async with asyncio.timeout_at(terms.deadline):
            observed = await watch.until(
                limit_s=patience_s(terms.limits, terms.limit_s),
                bad_s=inf if fail_s is None else fail_s,
                good_s=min(it for it in (warn_s, fail_s, inf) if it is not None),
            )
    except DbopsError as error:
        raise SilentReaderError(error) from error
    except TimeoutError:
        if watch.so_far is None:
            late = UnreachableError(
                f"{reader.address} gave no answer in time", phase="query"
            )
            raise SilentReaderError(late) from None
        observed = watch.so_far
    return token, observed


def _is_settled(observed: Observed) -> bool:
    """Tell whether a commit that was not flushed can make no difference."""
    if not observed.last.state["is_replayed"]:
        return True
    return observed.missing is not None and observed.missing.is_none


async def written(writer: ReadOnly) -> None:
    """Write one record, with a commit behind it.

    Raises:
        DbopsError: The translation of whatever the driver raises.
    """
    connection: Any = writer.dialled.connection
    with translated(writer.dialled.endpoint):
        try:
            await connection.execute(PROBE)
        except Exception:
            await connection.execute("ROLLBACK")
            raise

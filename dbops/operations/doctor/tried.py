"""How does a check end, whatever happens in it?"""

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from traceback import extract_tb

from dbops.errors import DbopsError
from dbops.operations.doctor.answer import Finding, Role, Severity
from dbops.operations.doctor.check import (
    Check,
    Found,
    NotApplicableError,
    UndecidedError,
)
from dbops.operations.doctor.servers import Server

_NO_PRIVILEGE = "42501"


async def tried(
    check: Check,
    asking: Awaitable[Found],
    servers: Sequence[Server],
    deadline: float | None,
) -> Found:
    """Wait for a check, and make an unknown of whatever keeps it from answering.

    Args:
        check: Which one.
        asking: What its `find` returns.
        servers: Whom it asks.
        deadline: When, by the clock of the loop, it has to have an answer.

    Raises:
        NotApplicableError: If there is nothing to ask.
    """
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            return await asking
    except NotApplicableError:
        raise
    except UndecidedError as error:
        return undecided(check.title, str(error), error.requires)
    except DbopsError as error:
        grant = None
        if error.sqlstate == _NO_PRIVILEGE and check.role is not None:
            grant = "; ".join(server.grant(check.role) for server in servers)
        return undecided(check.title, error.message, grant or error.hint)
    except Exception as error:  # noqa: BLE001 # a bug in one must not hide the others
        if limit.expired():
            why = "it had no answer before the time was over"
            return undecided(check.title, why, "give it longer with --timeout")
        frame = extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        return undecided(check.title, f"this is a bug in dbops: {where}")


def undecided(
    about: str,
    why: str,
    requires: str | None = None,
    *,
    role: Role | None = None,
    database: str | None = None,
) -> Found:
    """Return what is said where nothing is known."""
    finding = Finding(
        object=about,
        message=why,
        remedy=requires,
        severity=Severity.UNKNOWN,
        role=role,
        database=database,
    )
    return Found(f"unknown: {why}", (finding,), requires=requires)

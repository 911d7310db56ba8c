"""How do the data folders of a new pair come about?"""

import asyncio
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from dbops.errors import FailedError
from dbops.local.account import Programs
from dbops.local.data_folder import clone, initdb, make_standby, sync
from dbops.local.folders import write_private


def new_password(folder: Path) -> str:
    """Invent a password and keep it in a file that only we can read."""
    password = secrets.token_urlsafe(24)
    write_private(folder / "password", password + "\n")
    return password


async def build_durable(programs: Programs, folder: Path) -> None:
    """Make a writer and a standby in `folder` that survive a power cut.

    Raises:
        FailedError: If a program fails.
    """
    writer, reader = folder / "writer", folder / "reader"
    await initdb(programs, writer, new_password(folder))
    await clone(programs, writer, reader)
    make_standby(programs, reader)
    await _both(sync(programs, writer), sync(programs, reader))


async def build_throwaway(
    programs: Programs, folder: Path, *, template: Path | None, has_standby: bool
) -> str | None:
    """Make data folders in `folder` for as long as nobody pulls the plug.

    Returns:
        The password that the superuser still has to be given, if any.

    Raises:
        FailedError: If a program fails.
    """
    writer, reader = folder / "writer", folder / "reader"
    password = new_password(folder)
    if template is None:
        await initdb(programs, writer, password)
        if has_standby:
            await clone(programs, writer, reader)
    elif has_standby:
        await _both(
            clone(programs, template, writer), clone(programs, template, reader)
        )
    else:
        await clone(programs, template, writer)
    if has_standby:
        make_standby(programs, reader)
    return password if template is not None else None


async def _both(*work: Coroutine[Any, Any, None]) -> None:
    """Do two things at once; when one fails, the other is stopped first."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for part in work:
                tasks.create_task(part)
    except* FailedError as failures:
        raise failures.exceptions[0] from None

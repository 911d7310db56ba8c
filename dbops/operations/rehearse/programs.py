"""Which pg_dump are there?"""

import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from dbops.errors import DbopsError
from dbops.local.binaries import candidates
from dbops.local.folders import absolute
from dbops.local.spawn import run


async def pg_dumps(pg_bin: Path | None) -> AsyncGenerator[tuple[Path, int]]:
    """Yield every pg_dump here with its major version.

    Args:
        pg_bin: A folder to look into first.
    """
    folders = [] if pg_bin is None else [absolute(pg_bin)]
    folders += [folder async for folder, _ in candidates()]
    if (found := shutil.which("pg_dump")) is not None:
        folders.append(Path(found).parent)
    for folder in dict.fromkeys(folders):
        program = folder / "pg_dump"
        with suppress(DbopsError, OSError):
            said = await run([program, "--version"], timeout_s=10)
            if version := re.search(r"\(PostgreSQL\) (\d+)", said):
                yield program, int(version[1])

"""How is a data folder had without waiting for initdb?

Pairs made from one template share a system identifier, by which a standby tells its
writer from others: for throw-away pairs only.
"""

import os
import platform
from pathlib import Path

from dbops.local.account import Programs
from dbops.local.data_folder import initdb, sync
from dbops.local.folders import make_folder
from dbops.local.scratch import scratch, sweep


async def template(programs: Programs, home: Path) -> Path:
    """Return a data folder without a password that can be copied.

    It is made once for each release, account and machine type.

    Raises:
        FailedError: If initdb fails.
        OSError: If the folder cannot be written.
    """
    binaries, account = programs.binaries, programs.account
    where = "namespace" if account.is_namespace else str(account.uid or os.geteuid())
    source = (binaries.wheel or binaries.bin_dir.parent).name
    key = f"{source}-{binaries.release}-{platform.machine()}-{where}"
    target = home / "templates" / key
    if not target.exists():
        parent = make_folder(target.parent)
        await sweep(parent)
        async with scratch(parent) as folder:
            await initdb(programs, folder / "data", password=None)
            await sync(programs, folder / "data")
            if not target.exists():
                folder.rename(target)
    return target / "data"

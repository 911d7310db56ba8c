"""How is a data folder made, copied, and kept?"""

import os
import sys
from pathlib import Path

from dbops.errors import FailedError
from dbops.local.account import Programs
from dbops.local.folders import write_private
from dbops.local.spawn import run
from dbops.local.state import USER

_BUILTIN_LOCALES = 17


async def initdb(programs: Programs, data: Path, password: str | None) -> None:
    """Make a data folder that was never started.

    Args:
        programs: The programs and their account.
        data: A folder that does not exist yet.
        password: Of the superuser; None leaves it without one, so that nobody gets
            in over TCP.

    Raises:
        FailedError: If initdb fails.
    """
    account = programs.account
    account.make_private_folder(data)
    command: list[str | Path] = [
        programs.path("initdb"),
        f"--pgdata={data}",
        f"--username={USER}",
        "--encoding=UTF8",
        # Trust stops at the socket folder, which is closed to all other accounts.
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--no-sync",
        "--no-instructions",
    ]
    if programs.binaries.version >= _BUILTIN_LOCALES:
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--locale=C"]
    else:
        command += [f"--locale={'C.UTF-8' if sys.platform == 'linux' else 'C'}"]
    secret = data.with_name(f".{data.name}.password")
    try:
        if password is not None:
            write_private(secret, password + "\n")
            account.give(secret)
            command += [f"--pwfile={secret}"]
        await run(command, account)
    finally:
        secret.unlink(missing_ok=True)


async def clone(programs: Programs, source: Path, target: Path) -> None:
    """Copy the data folder of a server that is not running."""
    programs.account.make_private_folder(target)
    # Each 16 MB segment of WAL is mostly zeros.
    sparse = ["--sparse=always"] if sys.platform == "linux" else []
    command = ["cp", "-a", *sparse, f"{source}/.", str(target)]
    try:
        await run(command, programs.account)
    except FailedError:
        if not sparse:
            raise
        # A cp that is not GNU's knows no --sparse.
        await run(["cp", "-a", f"{source}/.", str(target)], programs.account)


def make_standby(programs: Programs, data: Path) -> None:
    """Mark a data folder as a standby's."""
    signal_file = data / "standby.signal"
    # The folder is the account's: follow no link that it may have put there.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    os.close(os.open(signal_file, flags, 0o600))
    programs.account.give(signal_file)


async def sync(programs: Programs, data: Path) -> None:
    """Write a data folder to the disk for good."""
    await run([programs.path("initdb"), "--sync-only", data], programs.account)

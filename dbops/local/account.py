"""Under whose account do the servers run?

PostgreSQL refuses to run as root. Root gives the work to a system account, which works
in a container too and is the only way that confines the server; where that is not
allowed, it becomes one inside a user namespace.
"""

import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError

from dbops.errors import ConfigError, FailedError, RefusedError
from dbops.local.binaries import Binaries, find_binaries
from dbops.local.folders import is_root
from dbops.local.spawn import Account, run
from dbops.local.staging import staged

_NAMES = ("postgres", "nobody", "daemon")


@dataclass(frozen=True, slots=True)
class Programs:
    """The server programs, and the account that can run them."""

    binaries: Binaries
    account: Account

    def path(self, program: str) -> Path:
        """Return the path of one program."""
        return self.binaries.bin_dir / program


async def find_programs(home: Path, pg_bin: Path | None) -> Programs:
    """Find server programs and an account for them.

    Args:
        home: The folder that everything local lives in, for copies of the programs.
        pg_bin: The folder with the programs; None searches.

    Raises:
        ConfigError: If there are no programs.
        RefusedError: If we are root and nothing lets us be somebody else.
    """
    binaries = await find_binaries(pg_bin)
    if not is_root():
        return Programs(binaries, Account())
    account = _system_account()
    if await _works(account):
        if can_run(account, binaries.bin_dir / "postgres"):
            return Programs(binaries, account)
        if binaries.wheel is not None:
            return Programs(await staged(binaries, home), account)
    namespace = Account(account.name, account.uid, account.gid, is_namespace=True)
    if await _works(namespace):
        return Programs(binaries, namespace)
    raise RefusedError(
        "PostgreSQL does not run as root, and root may not change its account here",
        hint=f"run dbops as an ordinary user, or put the programs where "
        f"the account {account.name!r} can reach them",
        phase="local",
    )


def can_run(account: Account, program: Path) -> bool:
    """Say whether the account can get to a program and run it."""
    read_and_run = stat.S_IROTH | stat.S_IXOTH
    return can_reach(account, program.parent) and _may(account, program, read_and_run)


def can_reach(account: Account, folder: Path) -> bool:
    """Say whether the account can pass through a folder and all above it."""
    return not account.owns_files or all(
        _may(account, place, stat.S_IXOTH) for place in (folder, *folder.parents)
    )


def check_reach(account: Account, folder: Path) -> None:
    """Make sure that data in `folder` can be worked with.

    Raises:
        ConfigError: If a folder above is closed to the account.
    """
    if not can_reach(account, folder):
        raise ConfigError(
            f"the servers run as {account.name!r}, which cannot reach {folder}",
            hint="set DBOPS_CACHE_DIR to a folder that other accounts can pass through",
            phase="local",
        )


def _may(account: Account, path: Path, bits: int) -> bool:
    """Say whether the account has `bits`, given as those of others."""
    status = path.resolve().stat()
    if status.st_uid == account.uid:
        bits <<= 6
    elif status.st_gid == account.gid:
        bits <<= 3
    return status.st_mode & bits == bits


def _system_account() -> Account:
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise RefusedError(
        "PostgreSQL does not run as root, and there is no account to run it under",
        hint=f"run dbops as an ordinary user, or add one of {', '.join(_NAMES)}",
        phase="local",
    )


async def _works(account: Account) -> bool:
    """Try whether the system lets us become `account`."""
    question = f'test "$(id -u)" = {account.uid}'
    try:
        await run(["/bin/sh", "-c", question], account, timeout_s=5)
    except (OSError, SubprocessError, FailedError):
        return False
    return True

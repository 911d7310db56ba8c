"""How is a schema read? By a pg_dump that is new enough for the server.

https://www.postgresql.org/docs/current/app-pgdump.html
"""

import asyncio
import os
import re
from contextlib import suppress
from pathlib import Path

from dbops.endpoint import Endpoint
from dbops.engine.dialling.tls import own_authorities
from dbops.errors import (
    ConfigError,
    DbopsError,
    FailedError,
    LockedError,
    RefusedError,
    UnreachableError,
)
from dbops.local.cleanup import finish
from dbops.operations.rehearse.original import Original
from dbops.operations.rehearse.programs import pg_dumps

_WHAT = (
    "--schema-only",
    "--no-owner",
    "--no-privileges",
    "--no-tablespaces",
    "--no-security-labels",
    # One would begin to replicate.
    "--no-subscriptions",
    "--encoding=UTF8",
    "--no-password",
)
# Newer options that keep out what other server programs may lack.
_SINCE = {"--no-toast-compression": 14, "--no-table-access-method": 15}
_GRACE_S = 2.0
_NO_TLS = "SSL support is not compiled in"
_GUARD = re.compile(r"^\\(un)?restrict [A-Za-z0-9]+$", re.MULTILINE)


async def schema_of(original: Original, pg_bin: Path | None, lock_s: float) -> str:
    """Return SQL that makes the original's schema, without owners and privileges.

    Args:
        original: The database; nothing in it is changed.
        pg_bin: A folder with PostgreSQL's programs, besides those that are found.
        lock_s: How long pg_dump may wait for a table that somebody changes, in seconds.

    Raises:
        ConfigError: If no pg_dump here is new enough, or none can use TLS.
        RefusedError: If the role may not read a table.
        LockedError: If a table does not become free in time.
        UnreachableError: If the server gives no answer.
        FailedError: If pg_dump fails otherwise.
    """
    lacks_tls = ""
    async for program, major in pg_dumps(pg_bin):
        if major < original.major:
            continue
        code, script, said = await _ran(program, major, original, lock_s)
        if code == 0:
            return _GUARD.sub("", script)
        if _NO_TLS not in said:
            raise _failed(said, original.endpoint)
        lacks_tls = ", and with TLS"
    raise ConfigError(
        f"no pg_dump here can read a server of version {original.version}{lacks_tls}",
        hint=f"install PostgreSQL's client programs {original.major} or newer "
        f"(Debian: postgresql-client-{original.major}), or set DBOPS_PG_BIN to them",
        phase="dump",
    )


async def _ran(
    program: Path, major: int, original: Original, lock_s: float
) -> tuple[int, str, str]:
    """Run pg_dump; return its exit code, its script, and what it complains of."""
    options = [name for name, since in _SINCE.items() if major >= since]
    process = await asyncio.create_subprocess_exec(
        program,
        *_WHAT,
        *options,
        f"--snapshot={original.snapshot}",
        f"--lock-wait-timeout={round(lock_s * 1000)}",
        env=_environment(original.endpoint),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            await finish(_ended(process))
    return process.returncode or 0, out.decode(), err.decode(errors="replace")


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End pg_dump: asked to, it also ends its statement on the server."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _GRACE_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _environment(endpoint: Endpoint) -> dict[str, str]:
    """Say where to: in the child's environment, which no other user can read.

    Nothing of our own environment is passed on, so that no PGSSLMODE or PGSERVICE
    weakens or replaces what the settings say.
    """
    (address,) = endpoint.addresses
    root, mode = endpoint.sslrootcert, endpoint.sslmode
    is_named = root is not None or own_authorities() is not None
    if mode in ("verify-ca", "verify-full") and not is_named:
        # libpq would look for a file; dbops means the system's authorities then.
        root = "system"
    if root == "system":
        mode = "verify-full"
    password = endpoint.password.get_secret_value() if endpoint.password else None
    said = {
        "PGHOST": address.host,
        "PGPORT": str(address.port),
        "PGDATABASE": endpoint.database,
        "PGUSER": endpoint.user,
        "PGPASSWORD": password,
        "PGSSLMODE": mode,
        "PGSSLROOTCERT": root,
        "PGSSLCERT": endpoint.sslcert,
        "PGSSLKEY": endpoint.sslkey,
        "PGOPTIONS": endpoint.options,
        "PGAPPNAME": "dbops rehearse",
        "PGCONNECT_TIMEOUT": "10",
        "PGGSSENCMODE": "disable",
    }
    ours = {"LC_ALL": "C", "PATH": os.defpath}
    with suppress(RuntimeError):  # a container's user may have none
        ours["HOME"] = str(Path.home())
    return {**ours, **{name: value for name, value in said.items() if value}}


def _failed(said: str, endpoint: Endpoint) -> DbopsError:
    """Translate what pg_dump says."""
    secret = endpoint.password.get_secret_value() if endpoint.password else ""
    said = said.replace(secret, "***") if secret else said
    lines = [line.removeprefix("pg_dump: ") for line in said.strip().splitlines()]
    message = f"pg_dump failed: {lines[0] if lines else 'it does not say why'}"
    if "permission denied" in said:
        return RefusedError(
            message,
            hint="a copy needs a role that may read every table: GRANT "
            "pg_read_all_data TO it, or set DATABASE_MIGRATION_URL",
            phase="dump",
        )
    # --lock-wait-timeout is a statement_timeout while tables are locked.
    if "due to statement timeout" in said or "due to lock timeout" in said:
        return LockedError(
            message,
            hint="somebody changes a table: try again, or raise --ddl-lock-timeout",
            phase="dump",
        )
    if "connection to server" in said:
        return UnreachableError(message, phase="dump")
    return FailedError(message, phase="dump")

"""Which writer and standby does a test run use, and what becomes of them?"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dbops.engine.quoting import quoted_identifier
from dbops.errors import FailedError
from dbops.local.pair import down, running, up
from dbops.local.session import session
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.settings import Settings

if TYPE_CHECKING:
    from dbops.engine.connect import Connection

PREFIX = "dbops_"
"""How the name of every database begins that the plugin makes."""

_OURS = """
    SELECT d.datname::text FROM pg_catalog.pg_database d
     WHERE pg_catalog.starts_with(d.datname::text, $1)
"""
# Every run shares a lock for as long as it lasts; who has it alone is the only one.
_IS_ALONE = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext($1))"
_JOIN = "SELECT pg_catalog.pg_advisory_lock_shared(pg_catalog.hashtext($1))"
_BE_JOINED = "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtext($1))"
# Nobody needs these databases after a power cut, and each is quick without.
_NO_FSYNC = "ALTER SYSTEM SET fsync = off"
_RELOAD = "SELECT pg_catalog.pg_reload_conf()"


@asynccontextmanager
async def servers(settings: Settings, *, keep_as: str | None) -> AsyncGenerator[Pair]:
    """Run a writer and a standby for the block.

    Args:
        settings: Where the programs and the cache folder are.
        keep_as: Use the local pair of this name, which `dbops local` knows, and leave
            it running when there are databases of ours in it at the end; those of
            earlier runs are dropped. None for servers that end with the block.

    Raises:
        DbopsError: As `throwaway` and `up`.
    """
    cache_dir, pg_bin = settings.cache_dir, settings.pg_bin
    if keep_as is None:
        async with throwaway(cache_dir=cache_dir, pg_bin=pg_bin) as pair:
            yield pair
        return
    await up(name=keep_as, cache_dir=cache_dir, pg_bin=pg_bin)
    pair_up = running(name=keep_as, cache_dir=cache_dir)
    if pair_up is None:
        raise FailedError(
            f"the local pair {keep_as!r} went away while it was being used",
            hint=f"see: dbops local status --name {keep_as}",
            phase="local",
        )
    async with session(pair_up.writer) as writer:
        await _take_over(pair_up, writer)
        yield pair_up
    async with session(pair_up.writer) as writer:
        is_alone = await writer.fetchval(_IS_ALONE, PREFIX)
        is_in_use = not is_alone or await writer.fetch(_OURS, PREFIX)
    if not is_in_use:
        await down(name=keep_as, cache_dir=cache_dir)


async def _take_over(pair: Pair, writer: "Connection") -> None:
    """Drop what earlier runs have left, unless another one is at work there."""
    is_alone = await writer.fetchval(_IS_ALONE, PREFIX)
    if is_alone:
        for row in await writer.fetch(_OURS, PREFIX):
            name = quoted_identifier(row[0])
            await writer.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await writer.fetchval(_JOIN, PREFIX)
    if is_alone:
        await writer.fetchval(_BE_JOINED, PREFIX)
    for endpoint in (pair.writer, pair.reader):
        async with session(endpoint) as server:
            await server.execute(_NO_FSYNC)
            await server.fetchval(_RELOAD)

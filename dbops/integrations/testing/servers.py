"""Which writer and standby does a test run use, and what becomes of them?"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dbops.errors import FailedError
from dbops.local.pair import down, running, up
from dbops.local.session import session
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway
from dbops.settings import Settings

PREFIX = "dbops_"
"""How the name of every database begins that the plugin makes."""

_IS_IN_USE = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_database d
                    WHERE pg_catalog.starts_with(d.datname::text, $1))
"""


@asynccontextmanager
async def servers(settings: Settings, *, keep_as: str | None) -> AsyncGenerator[Pair]:
    """Run a writer and a standby for the block.

    Args:
        settings: Where the programs and the cache folder are.
        keep_as: Use the local pair of this name, which `dbops local` knows, and leave
            it running when there are databases of ours in it; None for servers that
            end with the block.

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
    yield pair_up
    # Another run may have its databases there at the same time.
    async with session(pair_up.writer) as writer:
        is_in_use = await writer.fetchval(_IS_IN_USE, PREFIX)
    if not is_in_use:
        await down(name=keep_as, cache_dir=cache_dir)

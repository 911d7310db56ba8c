"""Has the reader what the writer has?"""

from collections.abc import Awaitable, Callable

from dbops.engine.connect import Connectors
from dbops.operations.replica import Followed, Version, until_replayed
from dbops.operations.replica.replayed import Progress
from dbops.operations.wait.attempts import Waited


class WaitedForReplica(Waited):
    """How long it took, and which reader it was."""

    replica: Followed
    """The reader."""


async def wait_for_replica(
    connectors: Connectors,
    *,
    limit_s: float,
    on_progress: Progress | None = None,
    version: Callable[[], Awaitable[Version]] | None = None,
) -> WaitedForReplica:
    """Wait until the reader has replayed all that the writer has committed by now.

    Args:
        connectors: How to reach both.
        limit_s: How long to wait, in seconds.
        on_progress: Told how many bytes the reader still lacks.
        version: Reads the version on the writer, for Aurora.

    Raises:
        DbopsError: As `until_replayed`.
    """
    followed = await until_replayed(
        connectors.connector("writer"),
        connectors.connector("reader"),
        limit_s=limit_s,
        on_progress=on_progress,
        version=version,
    )
    return WaitedForReplica(
        status=followed.status,
        waited_for="replica",
        waited_s=followed.waited_s,
        attempts=followed.attempts,
        replica=followed,
    )

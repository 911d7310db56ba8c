"""Many targets in processes of their own: Alembic runs one env.py a process.

The processes are started from scratch and not forked: they inherit no event loop, no
thread and no socket. Each works on one target after another, so that importing Alembic
is paid for once.
"""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence

from dbops.cli.call import Command
from dbops.cli.ended import Ended, failed
from dbops.cli.lanes import in_lanes
from dbops.cli.target import Target
from dbops.cli.worker import Orders
from dbops.cli.worker_process import Worker
from dbops.errors import FailedError

# The path travels, because it decides which env.py and which dbops are found.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from dbops.cli.worker import main; main()"
)

Begin = Callable[[Target], None]
Done = Callable[[Ended], None]


async def work(
    command: Command,
    targets: Sequence[Target],
    *,
    jobs: int | None,
    begin: Begin,
    done: Done,
) -> None:
    """Run the command on every target, `jobs` at once.

    Args:
        command: One with an errand.
        targets: In the order in which they are begun.
        jobs: How many processes; None for one a processor.
        begin: Called before each target.
        done: Called after each target, however it ended; also, before a cancellation
            is raised, for those that came to an end in time.
    """
    waiting = deque(targets)

    async def lane() -> None:
        worker: Worker | None = None
        try:
            while waiting:
                target = waiting.popleft()
                begin(target)
                if worker is None or worker.is_lost:
                    worker = await _started(command, target, done)
                if worker is not None:
                    await worker.do(target, done)
        finally:
            if worker is not None:
                await worker.leave()

    await in_lanes(lane, min(jobs or _processors(), len(targets)))


async def _started(command: Command, target: Target, done: Done) -> Worker | None:
    errand = command.errand
    assert errand is not None  # nothing else comes here  # noqa: S101
    # -P, so that no file of the current folder stands in for a module of Python's.
    words = ("-P", "-c", _START, json.dumps(sys.path))
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdin=pipe, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        fault = FailedError(
            f"no process could be started for it: {error.strerror}",
            hint="lower --jobs, or raise the limits of this machine",
            phase="start",
        )
        done(failed(target.name, fault))
        return None
    worker = Worker(process)
    worker.send(
        Orders(
            command.name, errand, command.flags, command.waits_for, command.startup_s
        )
    )
    return worker


def _processors() -> int:
    """Return how many processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

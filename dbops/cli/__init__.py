"""The command line: options in, one operation named, a result shown."""

import gc
import os
import signal

from dbops.cli import started  # noqa: F401 # before everything that takes its time


def main() -> None:
    """Run the command line; the console script `dbops`."""
    # Until an operation runs there is nothing to stop, and no trace to show.
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    # Most of a probe's time goes into imports, and none of what they allocate is
    # garbage; `run` switches collection on again before an operation starts.
    gc.disable()
    from dbops.cli.app import app  # noqa: PLC0415 # after the line above

    app()

"""When did the process begin with us?"""

import os
import time

_LONGEST_START_S = 2.0


def _started_s() -> float:
    """Return when the interpreter was started, where that was for our sake.

    https://www.kernel.org/doc/html/latest/filesystems/proc.html
    """
    now_s = time.monotonic()
    try:
        with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123 # pathlib takes its time
            fields = stat.read().rpartition(b")")[2].split()
        began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
    except (AttributeError, IndexError, OSError, ValueError):
        return now_s  # no Linux
    # Whoever imports us late was started for something else.
    return now_s - age_s if 0 < age_s < _LONGEST_START_S else now_s


STARTED_S = _started_s()
"""By the monotonic clock; `--timeout` counts from here."""

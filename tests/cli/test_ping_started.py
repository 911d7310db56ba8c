"""From when on does --timeout count?"""

import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize(("before_s", "least_s", "most_s"), [(0.4, 0.4, 2), (3, 0, 1)])
def test_starting_the_interpreter_counts_and_an_older_process_does_not(
    before_s: float, least_s: float, most_s: float
) -> None:
    code = (
        f"import time; time.sleep({before_s}); from dbops.cli.started import STARTED_S;"
        "print(time.monotonic() - STARTED_S)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert least_s <= float(done.stdout) <= most_s

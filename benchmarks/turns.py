"""Whole processes in turns, and one beside the other.

Commands take turns and the order is rotated each round, so that a machine whose speed
drifts is fair to all; a ratio is the median of the ratios round by round.
"""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from dbops.local.state import Pair

SLOW_PACKAGES = ("sqlalchemy", "alembic", "boto3", "botocore")


def environment(**variables: str) -> dict[str, str]:
    """Return the environment with .pyc files allowed, as after an installation."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **variables}


def timed(words: Sequence[str], env: Mapping[str, str]) -> float:
    """Run a command to its end and return its wall time in seconds."""
    started = time.perf_counter()
    subprocess.run(words, env=env, check=True, capture_output=True, timeout=120)
    return time.perf_counter() - started


def in_turns(
    commands: Mapping[str, Sequence[str]],
    env: Mapping[str, str],
    rounds: int,
    before: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Time the commands in turns; one round warms up and is not counted.

    Args:
        commands: Name → its words.
        env: The environment of each.
        rounds: How often each is run.
        before: What is done before each, and not timed.
    """
    names = list(commands)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            before()
            spent = timed(commands[name], env)
            if number:
                times[name].append(spent)
    return times


def compared(
    times: Mapping[str, list[float]], peer: str, bounds: Mapping[str, float]
) -> bool:
    """Print each command beside its peer; tell whether every bound holds."""
    good = True
    for name, spent in times.items():
        ratios = [a / b for a, b in zip(spent, times[peer], strict=True)]
        ratio = statistics.median(ratios)
        bound = bounds.get(name)
        holds = bound is None or ratio <= bound
        good = good and holds
        print(
            f"  {name:<28} median {statistics.median(spent) * 1000:7.1f} ms"
            f"  min {min(spent) * 1000:7.1f}  x{ratio:5.2f}"
            + (f"  (bound x{bound:g}: {verdict(holds)})" if bound else "  (the peer)")
        )
    return good


def verdict(holds: bool) -> str:  # noqa: FBT001 # one argument
    """Say whether a bound holds."""
    return "holds" if holds else "MISSED"


def slow_imports(words: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return which of the slow packages a command imports."""
    traced = subprocess.run(
        [words[0], "-X", "importtime", *words[1:]],
        env=env,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    modules = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    return [name for name in SLOW_PACKAGES if name in modules]


def urls(pair: Pair) -> dict[str, str]:
    """Return the settings that lead to the pair."""
    return {
        "DATABASE_URL": pair.writer.url(show_password=True),
        "DATABASE_READER_URL": pair.reader.url(show_password=True),
    }

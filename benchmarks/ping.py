"""One ping of a hundred targets, beside a shell loop of psql in the same run.

    python benchmarks/run.py ping-targets

The loop is what people write: one `psql -c 'select 1'` after another, on the writer of
each target. What Debian calls psql is a script that finds the right version first; the
program itself is measured too, where it can be found.
"""

import asyncio
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.turns import compared, environment, in_turns, urls
from dbops.local.state import Pair
from dbops.local.throwaway import throwaway

TARGETS, BOUND = 100, 0.5


def bench_targets(rounds: int) -> bool:
    """Whole processes: all targets at once, against one psql after another."""
    print(f"ping of {TARGETS} targets, against as many psql -c 'select 1' in sequence")

    async def measured() -> bool:
        with tempfile.TemporaryDirectory() as folder:
            async with throwaway(settings={"max_connections": "200"}) as pair:
                write_targets(Path(folder), pair)
                commands = commands_on(Path(folder), pair)
                times = await asyncio.to_thread(
                    in_turns, commands, environment(), rounds
                )
        bounds = {name: BOUND for name in commands if name.startswith("dbops")}
        return compared(times, "psql, in sequence", bounds)

    return asyncio.run(measured())


def write_targets(folder: Path, pair: Pair) -> None:
    """Write a project file of targets, each a writer and a reader."""
    lines = [f'{name.lower()} = "{url}"' for name, url in urls(pair).items()]
    (folder / "dbops.toml").write_text(
        "\n".join(
            "\n".join([f"[targets.shop-{number:03}]", *lines])
            for number in range(TARGETS)
        )
    )


def commands_on(folder: Path, pair: Pair) -> dict[str, list[str]]:
    """Return what is compared; the first is the peer."""
    dbops = [*("env", "-C", str(folder)), *(sys.executable, "-m", "dbops", "ping")]
    words = [*dbops, "--target", "shop-*", "--format", "json", "--quiet"]
    url = urls(pair)["DATABASE_URL"]
    programs = {"psql, in sequence": shutil.which("psql") or "psql"}
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))
    if installed:
        programs["psql without its wrapper"] = str(installed[-1])
    return {
        **{name: loop(program, url) for name, program in programs.items()},
        "dbops ping --writer": [*words, "--writer"],
        "dbops ping": words,
    }


def loop(program: str, url: str) -> list[str]:
    """Return a shell that asks one target after another."""
    one = shlex.join([program, url, "-c", "select 1"])
    return ["sh", "-c", f"for n in $(seq {TARGETS}); do {one} || exit 1; done"]

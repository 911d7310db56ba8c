"""What does squawk say?

https://squawkhq.com is a program of its own; the extra `dbops[lint]` installs it.
"""

import asyncio
import json
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from dbops.errors import FailedError
from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.squawk_findings import Said, findings

_LIMIT_S = 60


def installed() -> Path | None:
    """Return where squawk is; None when it is not installed."""
    # A virtual environment need not be activated to be used.
    beside = Path(sysconfig.get_path("scripts")) / "squawk"
    found = shutil.which(beside) or shutil.which("squawk")
    return Path(found) if found else None


async def squawk(
    program: Path, sources: Sequence[Source], *, style: bool = False
) -> list[Finding]:
    """Let squawk judge each source by itself.

    Args:
        program: Where it is.
        sources: Revisions or files.
        style: Whether matters of taste count too.

    Raises:
        FailedError: If it cannot be run.
    """
    said: list[Said] = []
    with TemporaryDirectory(prefix="dbops-lint-") as folder:
        numbered = sorted(enumerate(sources), key=lambda pair: _in_transaction(pair[1]))
        for inside, group in groupby(numbered, lambda pair: _in_transaction(pair[1])):
            paths = []
            for number, source in group:
                path = Path(folder) / f"{number}.sql"
                path.write_text(source.sql, encoding="utf-8")
                paths.append(str(path))
            options = ["--assume-in-transaction"] if inside else []
            said += _read(await _run(program, [*options, *paths]))
    return list(findings(said, sources, style=style))


def _in_transaction(source: Source) -> bool:
    return bool(source.transactional)


async def _run(program: Path, words: Sequence[str]) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--reporter=json",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _failed(error.strerror or "it does not start") from error
    try:
        async with asyncio.timeout(_LIMIT_S):
            out, err = await process.communicate()
    except TimeoutError:
        raise _failed(f"it was not done within {_LIMIT_S} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not out.strip().startswith(b"["):
        raise _failed(err.decode(errors="replace").strip() or "it says nothing")
    return out


def _failed(why: str) -> FailedError:
    return FailedError(
        f"squawk cannot be run: {why}",
        hint="install it anew: pip install --force-reinstall squawk-cli",
        phase="lint",
    )


def _read(out: bytes) -> Iterator[Said]:
    for row in json.loads(out):
        yield Said(
            int(Path(row["file"]).stem),
            # It counts from 0.
            int(row["line"]) + 1,
            row["rule_name"],
            row["message"],
            row["help"] or "",
        )

"""A real headless browser, for pages."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

from playwright.async_api import Browser, async_playwright

from tests.conftest import missing

# It asks nobody for updates or word lists while it looks at a page.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def chromium() -> Path:
    """Return the system's own Chromium."""
    found = which("chromium") or which("chromium-browser") or which("google-chrome")
    if found is None:
        missing("Chromium (Debian's package chromium)")
    return Path(str(found))


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """Start the browser for the block."""
    program = chromium()
    # Its sandbox refuses root.
    own = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as play:
        started = await play.chromium.launch(
            executable_path=program, args=[*_QUIET, *own]
        )
        try:
            yield started
        finally:
            await started.close()

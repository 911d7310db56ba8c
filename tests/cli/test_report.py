"""The page that `dbops report` writes, as a browser shows it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from dbops.engine.connect import connect
from dbops.engine.quoting import quoted_identifier
from tests.browser import browser
from tests.conftest import Ran, RunDbops, Served

HOSTILE = (
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned = 1">',
    "\x1b[31mred\nline",
    "</style><h1>gone",
)
# A throw-away server does without fsync, and the doctor would say so.
QUICK = ("--count", "4", "--interval", "100ms", "--skip", "D38")
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
WIDTHS = """() => [document.scrollingElement.scrollWidth, window.innerWidth]"""


@pytest.fixture(scope="module")
async def chromium() -> AsyncGenerator[Browser]:
    async with browser() as started:
        yield started


async def reported(dbops: RunDbops, served: Served, file: Path, *words: str) -> Ran:
    return await asyncio.to_thread(
        dbops, "report", "-o", str(file), *QUICK, *words, env=served.environment
    )


async def shown(chromium: Browser, file: Path, size: Any) -> tuple[Page, list[str]]:  # noqa: ANN401 # the browser's own
    """Open the page, and note everything that it asks for or complains about."""
    page = await chromium.new_page(viewport=size)
    noted: list[str] = []
    page.on("console", lambda said: noted.append(said.text))
    page.on("pageerror", lambda error: noted.append(str(error)))
    page.on("request", lambda asked: noted.append(asked.url))
    await page.goto(file.as_uri())
    return page, [it for it in noted if it != file.as_uri()]


async def plant(served: Served) -> None:
    """Make tables with hostile names, big enough to be among the biggest."""
    admin = await connect(served.writer)
    try:
        for name in HOSTILE:
            table = quoted_identifier(name)
            await admin.execute(
                f"CREATE TABLE {table} (n int PRIMARY KEY, t text);"  # noqa: S608 # quoted
                f"INSERT INTO {table} SELECT n, repeat('x', 100)"
                "  FROM pg_catalog.generate_series(1, 500) AS n"
            )
    finally:
        await admin.close()


def is_device(file: Path) -> bool:
    return file.is_char_device()


def names_in(folder: Path) -> list[str]:
    return [it.name for it in folder.iterdir()]


async def test_the_page_can_be_read_on_a_phone_at_a_desk_and_on_paper(
    dbops: RunDbops, served: Served, chromium: Browser, tmp_path: Path
) -> None:
    await plant(served)
    file = tmp_path / "report.html"
    ran = await reported(dbops, served, file)
    assert (ran.code, ran.err.count("error")) == (0, 0), ran.err
    for size in (PHONE, DESK):
        page, noted = await shown(chromium, file, size)
        assert noted == []
        needed, there = await page.evaluate(WIDTHS)
        assert needed <= there
        text = await page.inner_text("body")
        for name in ("<script>window.pwned = 1</script>", "</style><h1>gone", "\\x1b"):
            assert name in text
        assert await page.evaluate("window.pwned") is None
        assert await page.locator("h1").count() == 1
        await page.close()
    page, _ = await shown(chromium, file, DESK)
    assert (await page.pdf(format="A4")).startswith(b"%PDF")


async def test_the_page_has_the_charts(
    dbops: RunDbops, served: Served, chromium: Browser, tmp_path: Path
) -> None:
    await plant(served)
    file = tmp_path / "report.html"
    await reported(dbops, served, file)
    page, _ = await shown(chromium, file, DESK)
    for heading in ("Latency by phase", "Lag of the reader", "Connections", "Budget"):
        assert await page.get_by_role("heading", name=heading).is_visible()
    # A bar for writer and reader each, one for the connections.
    assert await page.locator(".stacked .bar").count() == 3
    width = await page.locator(".stacked .bar").first.evaluate(
        "it => [...it.children].reduce((sum, part) => sum + part.offsetWidth, 0)"
    )
    assert width > 50
    line = await page.locator("svg polyline").get_attribute("points")
    assert line is not None
    assert len(line.split()) == 4
    assert await page.locator(".ranked li").count() == 2 * len(HOSTILE)


async def test_a_server_that_is_away_is_told_on_the_page(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    away = served.environment | {"DATABASE_READER_URL": "postgresql://a@127.0.0.1:1/b"}
    ran = await asyncio.to_thread(
        dbops, "report", "-o", str(file), *QUICK, "--format", "json", env=away
    )
    assert ran.code == 5
    assert ran.json["result"]["file"] == str(file)
    text = file.read_text()
    assert "nothing listens on 127.0.0.1:1" in text
    assert "4 of them unknown" in text


@pytest.mark.parametrize("place", ["missing/report.html", "."])
async def test_a_file_that_cannot_be_written_is_a_usage_error(
    dbops: RunDbops, served: Served, tmp_path: Path, place: str
) -> None:
    ran = await reported(dbops, served, tmp_path / place)
    assert ran.code == 2
    assert "cannot be written" in ran.err
    assert "hint: name a file" in ran.err


async def test_a_device_is_written_to_and_not_replaced(
    dbops: RunDbops, served: Served
) -> None:
    ran = await reported(dbops, served, Path("/dev/null"))
    assert ran.code == 0
    assert is_device(Path("/dev/null"))


async def test_an_old_report_stays_until_the_new_one_is_whole(
    dbops: RunDbops, served: Served, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    ran = await reported(dbops, served, file, "--only", "D999")
    assert ran.code == 2
    assert file.read_text() == "old"
    assert names_in(tmp_path) == ["report.html"]

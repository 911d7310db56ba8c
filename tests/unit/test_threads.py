"""Blocking calls that can be given up."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from dbops.threads import in_daemon_thread


async def test_a_call_returns_what_it_returns() -> None:
    assert await in_daemon_thread(lambda: 42) == 42


@pytest.mark.parametrize("kind", [ValueError, OSError, asyncio.CancelledError])
async def test_a_call_raises_what_it_raises(kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("no")

    with pytest.raises(kind):
        await in_daemon_thread(fail)


async def test_an_exception_that_no_future_takes_does_not_hang() -> None:
    def stop() -> None:
        raise StopIteration

    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError):
            await in_daemon_thread(stop)


async def test_the_loop_goes_on_while_a_call_blocks() -> None:
    release = threading.Event()
    call = asyncio.ensure_future(in_daemon_thread(lambda: release.wait(10)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not call.done()
    release.set()

    assert await call


async def test_a_call_can_be_given_up() -> None:
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await in_daemon_thread(lambda: release.wait(30))
    release.set()

    assert time.monotonic() - started < 10


def test_a_call_that_was_given_up_holds_neither_the_loop_nor_the_process() -> None:
    program = """
import asyncio, time
from dbops.threads import in_daemon_thread

async def main():
    try:
        async with asyncio.timeout(0.05):
            await in_daemon_thread(lambda: time.sleep(600))
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("given up\n", "")


def test_an_answer_after_the_loop_has_closed_is_dropped() -> None:
    release, answered = threading.Event(), threading.Event()

    def call() -> None:
        release.wait(10)
        answered.set()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await in_daemon_thread(call)

    with pytest.raises(TimeoutError), asyncio.Runner() as runner:
        runner.run(give_up())
    release.set()

    assert answered.wait(10)

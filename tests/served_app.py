"""An application on loopback, as its clients meet it: real HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def served_app(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """Serve an application for the block, its lifespan included."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
        if serving.done():
            await serving
            raise RuntimeError("the application did not start")
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=10
        ) as client:
            yield client
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)

"""A real uvicorn on a free loopback port, for what an in-memory transport hides: timing and disconnects."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from modem.laptop.environment import LOOPBACK


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, unix: Path | None = None) -> AsyncIterator[str]:
    """Serve an application in this event loop; the value is its URL.

    Args:
        app: What to serve.
        unix: A Unix socket to serve it on, instead of a port.
    """
    server, listener = _server(app, unix)
    # The parts of serve() without its loop, which ticks ten times a second and takes over Ctrl-C.
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([listener])
    try:
        yield _url(listener)
    finally:
        await server.shutdown([listener])


@contextlib.contextmanager
def serving_in_thread(app: ASGIApp) -> Iterator[str]:
    """Serve an application in a thread of its own, for blocking clients."""
    server, listener = _server(app)
    thread = threading.Thread(target=lambda: asyncio.run(server._serve([listener])))
    thread.start()
    try:
        # The listener takes connections from the start; they wait until the server is up.
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _server(app: ASGIApp, unix: Path | None = None) -> tuple[uvicorn.Server, socket.socket]:
    if unix is None:
        listener = socket.create_server((LOOPBACK, 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, lifespan="off")
    return uvicorn.Server(config), listener


def _url(listener: socket.socket) -> str:
    return (
        "http://unix"
        if listener.family == socket.AF_UNIX
        else f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    )

"""An ASGI application called in its own process, so that a Serve handle can carry its replies.

This is the slower of the two roads to an expert: every chunk crosses a Serve handle. It needs no
HTTP port on the replica, so it works in every mode of Serve.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import ASGIApp, Message

ACCEPTED = b"accepted"


async def respond(app: ASGIApp, path: str, body: bytes, request_id: str) -> AsyncIterator[bytes]:
    """POST ``body`` to ``path``; yield `ACCEPTED`, then the status in decimal digits, then chunks.

    The first part comes at once: it tells the caller that its wait for a replica is over.

    Closing the iterator early disconnects, which stops the generation.
    """
    messages: asyncio.Queue[Message | None] = asyncio.Queue()
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if unread:
            return unread.pop()
        # The peer stays until this task is cancelled, which is how Serve tells of a disconnect.
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def run() -> None:
        try:
            await app(_scope(path, request_id), receive, messages.put)
        finally:
            messages.put_nowait(None)

    task = asyncio.create_task(run())
    try:
        yield ACCEPTED
        while message := await messages.get():
            if message["type"] == "http.response.start":
                yield str(message["status"]).encode()
            elif chunk := message.get("body", b""):
                yield chunk
        await task
    finally:
        task.cancel()


def _scope(path: str, request_id: str) -> Message:
    headers = {"content-type": "application/json", "x-request-id": request_id}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }

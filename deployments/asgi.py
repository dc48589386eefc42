"""What ASGI applications need around them inside a Serve replica."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATUS_DIGITS = 3
DISCONNECT_GRACE_S = 5.0
"""How long an application may take to end by itself once its client has gone."""


class Application(Starlette):
    """Starlette that stays out of the way of some routes.

    Its layers for errors wrap ``send``, each one more coroutine for every chunk of a stream. The
    applications of these routes are called as they are, so they answer errors themselves.

    Args:
        posts: Applications by path, for POST; not functions, which Starlette takes for handlers.
        routes: All others.
        **options: As Starlette's.
    """

    def __init__(self, posts: Mapping[str, ASGIApp], routes: Sequence[Route], **options: Any) -> None:
        # Starlette has them too: it answers other methods, and Serve reads the names of routes from it.
        super().__init__(
            routes=[*(Route(path, app, methods=["POST"]) for path, app in posts.items()), *routes], **options
        )
        self._posts = posts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request (ASGI)."""
        if scope["type"] == "http" and scope["method"] == "POST":
            app = self._posts.get(scope["path"].removeprefix(scope.get("root_path", "")))
            if app is not None:
                await app(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class TellsDisconnect:
    """Tells an application of a disconnect in ASGI's way, where Serve would only cancel it.

    vLLM answers a request that is not a stream in a task of its own, and stops that task when
    ``receive`` says ``http.disconnect``. Serve instead cancels the application from outside: the
    task lives on, and the engine generates to the end for nobody (seen with vLLM 0.32).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; when cancelled, let it end by itself first (ASGI)."""
        gone = asyncio.Event()
        body_complete = False

        async def receive_or_learn() -> Message:
            nonlocal body_complete
            if body_complete:
                await gone.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            body_complete = not message.get("more_body", False)
            return message

        task = asyncio.ensure_future(self._app(scope, receive_or_learn, send))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            gone.set()
            await asyncio.wait({task}, timeout=DISCONNECT_GRACE_S)
            task.cancel()
            raise


async def respond(app: ASGIApp, path: str, body: bytes, request_id: str) -> AsyncIterator[bytes]:
    """Call an application without HTTP, so that a Serve handle can carry its reply.

    POSTs ``body`` to ``path`` and yields the status as `STATUS_DIGITS` digits with what there is of the
    body, then what has come since. Every item costs the way through Ray, so what is there goes in one:
    an answer that is no stream is a single item.

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
        ended = False
        while not ended:
            found = [await messages.get()]
            while not messages.empty():
                found.append(messages.get_nowait())
            ended = found[-1] is None
            if part := b"".join(_bytes(message) for message in found if message is not None):
                yield part
        await task
    finally:
        task.cancel()


def _bytes(message: Message) -> bytes:
    if message["type"] == "http.response.start":
        return str(message["status"]).encode()
    return message.get("body", b"")  # type: ignore[no-any-return]


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

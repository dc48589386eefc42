"""A simulated expert that keeps its own record: the truth that `benchmarks.loadtest` holds clients against.

One process with plain uvicorn, no Ray. Its clock, CLOCK_MONOTONIC, is that of all processes of the machine.

Run: ``python -m benchmarks.loadtest_server --port 8123``. ``GET /recorded`` returns what was recorded since
the last time, a line a request.
"""

import argparse
import gc
import time
from array import array
from dataclasses import dataclass, field

import msgspec
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.simulated import create_app
from modem.config import SimulatedExpertConfig
from modem.experts.simulated import SimulatedEngine

MODEL = "other"
"""The one model that it serves."""
MAX_CONTEXT_TOKENS = 1_000_000
MAX_STREAMS = 10_000
_CONTENT = b'"delta":{"content"'  # of the events with text; the first one has the role
_COMPLETIONS = "/v1/chat/completions"
_MODELS = msgspec.json.encode({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


@dataclass(slots=True)
class Served:
    """What the server did for one request.

    Attributes:
        id: Its ``x-request-id``; empty if the client sent none.
        received_s: When the application was called.
        content_s: When it gave each event with text to the socket.
    """

    id: str
    received_s: float
    content_s: "array[float]" = field(default_factory=lambda: array("d"))


class Recorder:
    """Wraps the application: notes times, and answers two more routes.

    Args:
        app: The simulated expert.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._served: list[Served] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == _COMPLETIONS:
            await self._record(scope, receive, send)
        elif scope["path"] == "/v1/models":
            await _reply(send, _MODELS)
        elif scope["path"] == "/recorded":
            await _reply(send, self._take())
        else:
            await self._app(scope, receive, send)

    async def _record(self, scope: Scope, receive: Receive, send: Send) -> None:
        now_s = time.monotonic
        served = Served("", now_s())
        self._served.append(served)
        served.id = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")

        async def noting(message: Message) -> None:
            if _CONTENT in message.get("body", b""):
                served.content_s.append(now_s())
            await send(message)

        await self._app(scope, receive, noting)

    def _take(self) -> bytes:
        served, self._served = self._served, []
        lines = (
            msgspec.json.encode(
                {"id": one.id, "received_s": one.received_s, "content_s": list(one.content_s)}
            )
            for one in served
        )
        return b"\n".join(lines)


async def _reply(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ttft-s", type=float, default=0.1)
    parser.add_argument("--tpot-s", type=float, default=0.05)
    args = parser.parse_args()
    config = SimulatedExpertConfig(
        model_id=MODEL,
        ttft_s=args.ttft_s,
        tpot_s=args.tpot_s,
        output_tokens=MAX_CONTEXT_TOKENS,
        max_model_len=MAX_CONTEXT_TOKENS,
        max_num_seqs=MAX_STREAMS,
    )
    app = Recorder(create_app(SimulatedEngine(config)))
    gc.freeze()
    # Its own pauses would be in its own record, but not those between the network and the application.
    gc.set_threshold(50_000, 50, 100)
    uvicorn.run(app, port=args.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()

"""Engines to be measured, with known figures, behind a real HTTP server in virtual time."""

import asyncio
import json
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from modem.profiling.client import ExpertClient
from modem.profiling.measure import Measurement, Plan, measure
from tests.servers import serving
from tests.virtual_time import run_in_virtual_time

T = TypeVar("T")

VLLM_METRICS = """# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0",num_cpu_blocks="None",num_gpu_blocks="512"} 1.0
modem_startup_s 42.5
"""


class SteppingEngine:
    """Reads one prompt after the other; a step takes longer the more requests are in the batch.

    Attributes:
        tokens_per_s: Speed of reading.
        overhead_s: For each prompt on top.
        step_s: Of one request alone.
        step_per_request_s: For each further one.
        places: Requests at once.
        max_words: Longest prompt; longer ones are refused.
        most: Requests in all, beyond which it answers 429.
    """

    tokens_per_s = 2000.0
    overhead_s = 0.03
    step_s = 0.02
    step_per_request_s = 0.005
    places = 6
    max_words = 10_000
    most = 10_000

    def __init__(self, **figures: float) -> None:
        for name, value in figures.items():
            assert hasattr(self, name)
            setattr(self, name, value)
        self._reading = asyncio.Lock()
        self._slots = asyncio.Semaphore(int(self.places))
        self._num_writing = 0
        self._num_open = 0

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        num_words = len(body["messages"][0]["content"].split())
        if body["model"] != "math":
            message = f"The model `{body['model']}` does not exist."
            return JSONResponse({"error": {"message": message, "code": 404}}, 404)
        if num_words > self.max_words:
            message = f"maximum context length is {self.max_words} tokens"
            return JSONResponse({"error": {"message": message}}, 400)
        if self._num_open >= self.most:
            return JSONResponse({"error": {"message": "Too many requests wait."}}, 429)
        self._num_open += 1
        return StreamingResponse(self._events(num_words, body["max_tokens"]), media_type="text/event-stream")

    async def _events(self, num_words: int, num_tokens: int) -> AsyncIterator[bytes]:
        try:
            async with self._slots:
                async with self._reading:
                    await asyncio.sleep(self.overhead_s + num_words / self.tokens_per_s)
                self._num_writing += 1
                try:
                    for index in range(num_tokens):
                        if index:
                            await asyncio.sleep(
                                self.step_s + self.step_per_request_s * (self._num_writing - 1)
                            )
                        yield _event({"choices": [{"delta": {"content": " a"}, "finish_reason": None}]})
                finally:
                    self._num_writing -= 1
        finally:
            self._num_open -= 1
        yield _event({"choices": [{"delta": {}, "finish_reason": "length"}]})
        yield _event({"choices": [], "usage": {"prompt_tokens": num_words, "completion_tokens": num_tokens}})
        yield b"data: [DONE]\n\n"

    def app(self) -> Starlette:
        async def metrics(_: Request) -> Response:
            return PlainTextResponse(VLLM_METRICS)

        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/metrics", metrics),
            ]
        )


def _event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def measured(app: Starlette, plan: Plan, model: str = "math") -> Measurement:
    """Measure an application in virtual time."""

    async def work(client: ExpertClient) -> Measurement:
        return await measure(client, plan, random.Random(0), lambda done, total: None)

    return with_client(app, work, model)


def with_client(app: Starlette, work: Callable[[ExpertClient], Awaitable[T]], model: str = "math") -> T:
    """Serve an application and give a client of it to some work, in virtual time."""

    async def served() -> T:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "s"
            connector = aiohttp.UnixConnector(str(path), limit=0)
            async with serving(app, path) as url, aiohttp.ClientSession(connector=connector) as session:
                return await work(ExpertClient(session, url, model, asyncio.get_running_loop().time))

    return run_in_virtual_time(served())

"""The simulated expert as a Serve application; starts in a second and needs no vLLM.

It speaks the same HTTP contract as `deployments.expert`, which one shared test suite checks.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from ray import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.asgi import Application, respond
from deployments.ray_private import bind_replica_grpc_to_loopback
from modem.config import SimulatedExpertConfig
from modem.errors import ServingError
from modem.experts.simulated import SimulatedEngine
from modem.openai.errors import to_response
from modem.openai.request import Endpoint, parse_object


class Completions:
    """One of the two completion routes, as an application of its own (ASGI).

    Args:
        engine: Answers.
        endpoint: Which of the two.
    """

    def __init__(self, engine: SimulatedEngine, endpoint: Endpoint) -> None:
        self._engine = engine
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        request_id = request.headers.get("x-request-id", "simulated")
        try:
            body = parse_object(await request.body())
            generation = self._engine.plan(self._endpoint, body, request_id)
        except ServingError as error:
            failure = to_response(error)
            return Response(failure.body, failure.status, dict(failure.headers))
        if body.get("stream"):
            return StreamingResponse(self._engine.events(generation), media_type="text/event-stream")
        return Response(await self._engine.complete(generation), media_type="application/json")


def create_app(engine: SimulatedEngine) -> Application:
    """Return the engine's HTTP application: the two completion routes, health and metrics."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("")

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(
            f'vllm:num_requests_running{{model_name="{engine.config.model_id}"}} {engine.num_running}\n'
            f'vllm:num_requests_waiting{{model_name="{engine.config.model_id}"}} {engine.num_waiting}\n'
            f'vllm:generation_tokens_total{{model_name="{engine.config.model_id}"}} '
            f"{engine.num_generated_tokens}\n"
        )

    return Application(
        posts={
            "/v1/chat/completions": Completions(engine, "chat/completions"),
            "/v1/completions": Completions(engine, "completions"),
        },
        routes=[Route("/health", health), Route("/metrics", metrics)],
    )


@serve.deployment(name="Expert")
@serve.ingress()
class SimulatedExpert:
    """One replica of a simulated expert."""

    async def __init__(self, config: SimulatedExpertConfig) -> None:  # type: ignore[misc]
        began_s = time.monotonic()
        bind_replica_grpc_to_loopback()
        await asyncio.sleep(config.startup_s)
        if config.fail_startup:
            raise RuntimeError("this simulated expert is configured to fail at start-up")
        self._engine = SimulatedEngine(config)
        self._app = create_app(self._engine)
        self._startup_s = time.monotonic() - began_s

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve calls this once for the application that the replica's HTTP port serves."""
        return self._app

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Serve's controller load and capacity, for the policies in `deployments.autoscaling`."""
        return self._engine.stats(self._startup_s).to_metrics()

    async def respond(self, path: str, body: bytes, request_id: str) -> AsyncIterator[bytes]:
        """Answer through a handle: see `deployments.asgi.respond`."""
        async for part in respond(self._app, path, body, request_id):
            yield part


def build(args: SimulatedExpertConfig) -> serve.Application:
    """Build the application of one simulated expert."""
    options = {"num_cpus": args.num_cpus}
    return SimulatedExpert.options(ray_actor_options=options).bind(args)  # type: ignore[attr-defined]

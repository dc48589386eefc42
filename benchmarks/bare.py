"""The least that Ray Serve does for a routed request through handles: the floor of `benchmarks.gateway`.

An ingress that reads the body, asks a deployment that only returns a constant, and passes on what the
expert's handle yields. Nothing is parsed, checked, timed or counted.
"""

from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from deployments.asgi import STATUS_DIGITS

PATH = "/v1/chat/completions"


class BareArgs(BaseModel):
    """Where every request goes.

    Attributes:
        domain: Whose expert answers.
    """

    domain: str


@serve.deployment(name="Constant", max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Constant:
    """In the router's place: knows one domain."""

    def __init__(self, domain: str) -> None:
        self._domain = domain

    async def score(self, text: str) -> str:
        """Return the domain, whatever the text."""
        return self._domain


@serve.deployment(name="Bare", max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
@serve.ingress()
class Bare:
    """In the gateway's place."""

    async def __init__(self, constant: DeploymentHandle[Any]) -> None:  # type: ignore[misc]
        self._constant = constant.options(method_name="score")

    async def __serve_build_asgi_app__(self) -> Starlette:
        """Serve calls this once."""
        return Starlette(routes=[Route(PATH, self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        domain = await self._constant.remote("a question")
        handle = serve.get_deployment_handle("Expert", f"expert-{domain}")
        parts = handle.options(method_name="respond", stream=True).remote(PATH, body, "bare")
        if b'"stream": true' in body:
            return StreamingResponse(_without_status(parts), media_type="text/event-stream")
        return Response(b"".join([part async for part in _without_status(parts)]))


async def _without_status(parts: Any) -> AsyncIterator[bytes]:
    first = True
    async for part in parts:
        yield part[STATUS_DIGITS:] if first else part
        first = False


def build(args: BareArgs) -> serve.Application:
    """Build the application."""
    return Bare.bind(Constant.bind(args.domain))  # type: ignore[attr-defined]

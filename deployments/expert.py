"""A real expert: vLLM behind `ray.serve.llm`, as one Serve application.

This module is light on purpose: building an application happens in a process of its own, and five
of them importing vLLM at once would keep a laptop busy for a minute: vLLM is imported in the replica,
and by the builder only where an accelerator's placement must be computed
(docs/decisions/0004-light-builders.md).
"""

import time
from collections.abc import AsyncIterator
from typing import Any

from ray import serve
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.asgi import TellsDisconnect, respond
from deployments.ray_private import bind_replica_grpc_to_loopback
from modem.serve_config.expert import ExpertArgs

ROUTES = frozenset(
    {
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("GET", "/health"),
        ("GET", "/metrics"),
    }
)
"""What of vLLM's HTTP application may be reached. It has dozens of routes more, some of which steer
the engine (``/pause``, ``/scale_elastic_ep``), and the replica's port asks for no key."""


@serve.deployment(name="Expert")
@serve.ingress()
class Expert:
    """One replica of an expert: an `LLMServer` with a front that lets only `ROUTES` through.

    Args:
        args: Model, engine and accelerator.
    """

    async def __init__(self, args: ExpertArgs) -> None:  # type: ignore[misc]
        began_s = time.monotonic()
        bind_replica_grpc_to_loopback()
        from deployments.llm import start_server

        self._server = await start_server(args)
        self._app = AllowList(TellsDisconnect(await self._server.__serve_build_asgi_app__()))
        self._startup_s = time.monotonic() - began_s

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve calls this once for the application that the replica's HTTP port serves."""
        return self._app

    async def respond(self, path: str, body: bytes, request_id: str) -> AsyncIterator[bytes]:
        """Answer through a handle: see `deployments.asgi.respond`."""
        async for part in respond(self._app, path, body, request_id):
            yield part

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Tell Serve's controller load and capacity, for the policies in `deployments.autoscaling`."""
        return self._server.load(self._startup_s).to_metrics()

    async def check_health(self) -> None:
        """Fail if the engine is dead, so that Serve replaces this replica."""
        await self._server.check_health()

    async def __del__(self) -> None:
        """Serve calls this when it stops the replica: the engine's processes end with it."""
        if hasattr(self, "_server"):
            await self._server.__del__()


class AllowList:
    """An ASGI application cut down to `ROUTES`; all else is 404, whatever the method or spelling."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 404 (ASGI); a websocket is closed before it is open."""
        kind = scope["type"]
        if kind == "lifespan" or (kind == "http" and (scope["method"], scope["path"]) in ROUTES):
            await self._app(scope, receive, send)
        elif kind == "http":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif kind == "websocket":
            await send({"type": "websocket.close"})


def build(args: ExpertArgs) -> serve.Application:
    """Build the application of one expert.

    Args:
        args: `ray.serve.llm.LLMConfig`, checked more strictly than Ray does.
    """
    kind = args.accelerator_config.kind if args.accelerator_config else "gpu"
    if kind == "cpu":
        options = cpu_options(args)
    else:
        from deployments.llm import accelerator_options

        options = accelerator_options(args)
    return Expert.options(**options).bind(args)  # type: ignore[attr-defined]


def cpu_options(args: ExpertArgs) -> dict[str, Any]:
    """Return the Serve options of an engine on CPUs, as Ray would compute them with vLLM's help.

    The engine's workers are processes of the replica's node, so there is one bundle: what the
    replica itself takes, and what each worker takes.
    """
    options = args.deployment_config.model_dump(exclude_unset=True)
    actor = dict(options.get("ray_actor_options", {}))
    bundle = (args.placement_group_config and args.placement_group_config.bundle_per_worker) or {"CPU": 1.0}
    num_workers = args.engine_kwargs.get("tensor_parallel_size", 1)
    num_cpus = actor.get("num_cpus", 1) + num_workers * bundle.get("CPU", 0)
    if args.runtime_env:
        actor["runtime_env"] = args.runtime_env.model_dump(exclude_unset=True)
    return {**options, "ray_actor_options": actor, "placement_group_bundles": [{"CPU": num_cpus}]}

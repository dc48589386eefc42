"""Many small deployments in one application: each scales for itself, and handles report its requests.

An expert is the root of its application, so its replicas report what runs. These are children of one root
that calls them through Serve's handles, which is how Serve scales everything else. One application builds in
a second where forty would take minutes.
"""

import asyncio
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request

NAME = "crowd"


@serve.deployment
class Sleeper:
    """Takes as long as it is told."""

    async def __call__(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@serve.deployment
class Crowd:
    """Passes each request on to the deployment that it names.

    Args:
        sleepers: Handles by name.
    """

    def __init__(self, sleepers: dict[str, DeploymentHandle[Any]]) -> None:
        self._sleepers = sleepers

    async def __call__(self, request: Request) -> str:
        body = await request.json()
        await self._sleepers[body["name"]].remote(body["seconds"])
        return "done"


def build(args: dict[str, Any]) -> serve.Application:
    """Build the application.

    Args:
        args: ``names`` of the deployments.
    """
    options = {"num_cpus": 0}
    sleepers = {
        name: Sleeper.options(name=name, ray_actor_options=options).bind()  # type: ignore[attr-defined]
        for name in args["names"]
    }
    return Crowd.options(  # type: ignore[attr-defined]
        ray_actor_options=options, max_ongoing_requests=1000
    ).bind(sleepers)


def crowd(scaling: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the application's entry in a Serve config.

    Args:
        scaling: ``autoscaling_config`` of each deployment, by its name.
    """
    return {
        "name": NAME,
        "route_prefix": f"/{NAME}",
        "import_path": "tests.parity.crowd:build",
        "args": {"names": list(scaling)},
        "deployments": [
            {
                "name": name,
                "max_ongoing_requests": 8,
                "graceful_shutdown_timeout_s": 5,
                "autoscaling_config": autoscaling,
            }
            for name, autoscaling in scaling.items()
        ],
    }

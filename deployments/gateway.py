"""The front application: the Gateway (HTTP ingress) and the Router."""

import logging
from typing import Any

from pydantic import ValidationError
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from deployments.api import create_api
from deployments.handles import ServeExperts
from deployments.ray_private import bind_replica_grpc_to_loopback
from deployments.router import RouterDeployment
from deployments.scorer import HandleScorer
from modem.config import GatewayConfig, ModemConfig
from modem.dispatch import Dispatcher

logger = logging.getLogger("ray.serve")


@serve.deployment(name="Gateway", max_ongoing_requests=1000)
@serve.ingress()
class Gateway:
    """One replica of the HTTP front.

    Args:
        router: Handle of the router deployment.
        data_plane: See `ModemConfig`.
    """

    async def __init__(self, router: DeploymentHandle[Any], data_plane: str) -> None:  # type: ignore[misc]
        bind_replica_grpc_to_loopback()
        # Async, because the HTTP client needs the running event loop.
        self._dispatcher = Dispatcher(HandleScorer(router), ServeExperts(direct=data_plane == "direct"))

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new settings. Serve calls this before the first request and at every live change.

        Wrong settings do not take a running gateway down: the old ones stay, and the log says why.

        Raises:
            pydantic.ValidationError: The first settings are wrong; the message names path and value.
        """
        try:
            self._dispatcher.configure(GatewayConfig.model_validate(user_config))
        except ValidationError as error:
            if not self._dispatcher.is_configured:
                raise
            logger.error("the new user_config is refused, the old one stays: %s", error)

    def check_health(self) -> None:
        """Fail while there is no configuration.

        Raises:
            ConfigError: The Serve config file gives the Gateway no ``user_config``.
        """
        _ = self._dispatcher.config

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Serve calls this once for the application that the replica serves."""
        return create_api(self._dispatcher)


def build(args: ModemConfig) -> serve.Application:
    """Build the front application."""
    return Gateway.bind(RouterDeployment.bind(args.router), args.data_plane)  # type: ignore[attr-defined]

"""The road from the gateway to the experts and the router; nothing else knows Serve's handles.

An expert's replica is chosen through its Serve handle, which is what wakes a sleeping expert and
balances load; the request then goes straight to that replica's own HTTP port, so token bytes do
not pass through Serve's Python hops (docs/decisions/0001-data-plane.md has the measurements).
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from ray import serve
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, ReplicaState

from deployments.ray_private import http_endpoint
from modem.config import DomainConfig
from modem.errors import ExpertFailedError, ExpertUnavailableError, OverloadedError
from modem.experts.base import ExpertRequest
from modem.types import DomainScores, ExpertState, RouterIdentity

logger = logging.getLogger(__name__)

MAX_TRIES = 3
"""Replicas tried for one request: generation has no side effects, so what has not begun may move."""
CONNECT_TIMEOUT_S = 5.0
STATES_TTL_S = 1.0
RETRY_AFTER_S = 5.0


class AiohttpReply:
    """A reply over HTTP (`modem.experts.base.ExpertReply`)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._response.status

    async def read(self) -> bytes:
        """Return the whole body."""
        try:
            return await self._response.read()
        except aiohttp.ClientError:
            raise _broke() from None

    async def next_chunk(self) -> bytes:
        """Return what has arrived, waiting for something if nothing has."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError:
            raise _broke() from None

    async def aclose(self) -> None:
        """Close the connection unless the body is complete, in which case it is kept for reuse."""
        if not self._response.closed and not self._response.content.is_eof():
            self._response.close()
        self._response.release()


class ServeExperts:
    """All experts of the cluster (`modem.experts.base.Experts`). Needs a running event loop."""

    def __init__(self) -> None:
        self._handles: dict[tuple[str, str], DeploymentHandle[Any]] = {}
        self._platform = PlatformStates()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, config: DomainConfig, request: ExpertRequest) -> AiohttpReply:
        """Send to a replica, moving to another while nothing has come back."""
        headers = {"content-type": "application/json", "x-request-id": request.request_id}
        for _ in range(MAX_TRIES):
            host, port = await self._choose(config, request.start_timeout_s)
            try:
                response = await self._session.post(
                    f"http://{host}:{port}{request.path}", data=request.body, headers=headers
                )
            except aiohttp.ClientError as error:
                logger.warning("replica %s:%d of %s broke: %r", host, port, config.application, error)
                await asyncio.sleep(0.1)
                continue
            return AiohttpReply(response)
        raise _broke()

    async def states(self, configs: Mapping[str, DomainConfig]) -> dict[str, ExpertState]:
        """Return the state of each domain's expert."""
        applications = await self._platform.applications()
        return {
            domain: expert_state(applications.get(config.application), config.deployment)
            for domain, config in configs.items()
        }

    async def _choose(self, config: DomainConfig, start_timeout_s: float) -> tuple[str, int]:
        """Return the address of a replica with a free place, waking the expert if it sleeps."""
        choice = asyncio.ensure_future(self._reserve(config))
        deadline = asyncio.get_running_loop().time() + start_timeout_s
        try:
            while not (await asyncio.wait({choice}, timeout=STATES_TTL_S))[0]:
                # Waiting: asleep, starting or full. A failed application would let us wait for ever.
                state = (await self.states({"": config}))[""]
                if state.state == "failed":
                    raise _failed(config)
                if asyncio.get_running_loop().time() > deadline:
                    raise ExpertUnavailableError(
                        f"The expert had no free replica within {start_timeout_s:g} s.",
                        None,
                        "expert_starting",
                        RETRY_AFTER_S,
                    )
            return choice.result()
        finally:
            choice.cancel()

    async def _reserve(self, config: DomainConfig) -> tuple[str, int]:
        try:
            # Left before sending: the HTTP request takes its own place in the replica's count.
            async with self._handle(config).choose_replica() as selection:
                endpoint = http_endpoint(selection)
        except BackPressureError:
            raise OverloadedError(
                "Too many requests wait for this expert. Retry later.", None, None, RETRY_AFTER_S
            ) from None
        except (DeploymentUnavailableError, RayServeException, KeyError) as error:
            logger.warning("no replica of %s: %r", config.application, error)
            raise _failed(config) from None
        if endpoint is None:
            raise RuntimeError(
                "The expert's replica has no HTTP port. Start Serve with RAY_SERVE_ENABLE_HA_PROXY=1 or "
                "RAY_SERVE_THROUGHPUT_OPTIMIZED=1 on every node, and give the expert an ASGI application."
            )
        return endpoint

    def _handle(self, config: DomainConfig) -> DeploymentHandle[Any]:
        key = (config.application, config.deployment)
        if key not in self._handles:
            self._handles[key] = serve.get_deployment_handle(config.deployment, config.application)
        return self._handles[key]


class HandleScorer:
    """The router deployment, called through its handle (`modem.dispatch.Scorer`)."""

    def __init__(self, router: DeploymentHandle[Any]) -> None:
        self._score = router.options(method_name="score")
        self._identity = router.options(method_name="identity")

    async def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; the router batches texts of concurrent callers."""
        return list(await asyncio.gather(*(self._score.remote(text) for text in texts)))

    async def identity(self) -> RouterIdentity:
        """Name and version of the router."""
        identity: RouterIdentity = await self._identity.remote()
        return identity


class PlatformStates:
    """Serve's status of all applications, asked for at most once a second."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._applications: Mapping[str, ApplicationStatusOverview] = {}

    async def applications(self) -> Mapping[str, ApplicationStatusOverview]:
        """Return the status per application name."""
        async with self._lock:
            if time.monotonic() - self._at > STATES_TTL_S:
                status = await asyncio.to_thread(serve.status)
                self._applications, self._at = status.applications, time.monotonic()
            return self._applications


def expert_state(application: ApplicationStatusOverview | None, deployment: str) -> ExpertState:
    """Read one expert's state out of Serve's status."""
    if application is None:
        return ExpertState("failed", 0, "the application is not deployed")
    overview = application.deployments.get(deployment)
    num_ready = overview.replica_states.get(ReplicaState.RUNNING, 0) if overview else 0
    if num_ready:
        return ExpertState("ready", num_ready)
    if application.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
        return ExpertState("failed", 0, (overview.message if overview else "") or application.message)
    if application.status in (ApplicationStatus.DELETING, ApplicationStatus.NOT_STARTED):
        return ExpertState("failed", 0, f"the application is {application.status.value}")
    if application.status == ApplicationStatus.DEPLOYING or (overview and overview.replica_states):
        return ExpertState("starting", 0)
    return ExpertState("asleep", 0)


def _broke() -> ExpertFailedError:
    return ExpertFailedError("The expert broke off. Retry.")


def _failed(config: DomainConfig) -> ExpertUnavailableError:
    return ExpertUnavailableError(
        f"The expert application {config.application!r} has failed or is not deployed.",
        None,
        "expert_failed",
        RETRY_AFTER_S,
    )

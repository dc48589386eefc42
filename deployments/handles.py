"""The road from the gateway to the experts.

An expert's replica is chosen through its Serve handle, which is what wakes a sleeping expert and
balances load; the request then goes straight to that replica's own HTTP port, so token bytes do
not pass through Serve's Python hops (docs/decisions/0001-data-plane.md has the measurements).
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import aiohttp
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from deployments.asgi import STATUS_DIGITS
from deployments.platform import STATES_TTL_S, PlatformStates, expert_state
from deployments.ray_private import assigned, http_endpoint, running_replicas
from modem.config import DomainConfig
from modem.errors import ExpertFailedError, ExpertUnavailableError, OverloadedError
from modem.experts.balance import Balancer
from modem.experts.base import ExpertReply, ExpertRequest
from modem.experts.queues import Queues
from modem.types import ExpertState

logger = logging.getLogger("ray.serve")

MAX_TRIES = 3
"""Replicas tried for one request: generation has no side effects, so what has not begun may move."""
CONNECT_TIMEOUT_S = 5.0
RETRY_PAUSE_S = 0.1
T = TypeVar("T")


class AiohttpReply:
    """A reply over HTTP (`modem.experts.base.ExpertReply`).

    Args:
        response: Its head has arrived.
        sent_at: Event loop time of sending.
        on_close: Called once when the reply is given up or complete.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, sent_at: float, on_close: Callable[[], None]
    ) -> None:
        self.sent_at = sent_at
        self._response = response
        self._on_close: Callable[[], None] | None = on_close

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
        """Close the connection, unless the body is complete: then it is kept for the next request."""
        if self._on_close is None:
            return
        on_close, self._on_close = self._on_close, None
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()
        on_close()


class HandleReply:
    """A reply through a Serve handle (`modem.experts.base.ExpertReply`).

    Args:
        stream: Yields the parts that `deployments.asgi.respond` describes.

    Attributes:
        on_close: Called when the reply is given up or complete.
    """

    def __init__(self, stream: DeploymentResponseGenerator[bytes]) -> None:
        self.on_close: Callable[[], None] = lambda: None
        self.sent_at = 0.0
        self._stream = stream
        self._status = 0
        self._unread = b""

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._status

    async def accepted(self) -> None:
        """Wait until a replica has the request."""
        await self._known(assigned(self._stream))
        self.sent_at = asyncio.get_running_loop().time()

    async def head(self) -> None:
        """Wait for the status."""
        try:
            first = await self._known(anext(self._stream))
        except StopAsyncIteration:
            raise _broke() from None
        self._status, self._unread = int(first[:STATUS_DIGITS]), first[STATUS_DIGITS:]

    async def read(self) -> bytes:
        """Return the whole body."""
        chunks = []
        while chunk := await self.next_chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    async def next_chunk(self) -> bytes:
        """Return the next chunk."""
        if self._unread:
            chunk, self._unread = self._unread, b""
            return chunk
        try:
            return await self._known(anext(self._stream))
        except StopAsyncIteration:
            return b""

    async def aclose(self) -> None:
        """Cancel the call, which stops the generation if it is not finished."""
        self._stream.cancel()
        self.on_close()

    async def _known(self, work: Awaitable[T]) -> T:
        """Await with Ray's errors as ours."""
        try:
            return await work
        except (RayError, RayServeException) as error:
            if isinstance(error, BackPressureError | DeploymentUnavailableError):
                raise
            logger.warning("an expert broke: %r", error)
            raise _broke() from None


class ServeExperts:
    """All experts of the cluster (`modem.experts.base.Experts`). Needs a running event loop.

    Args:
        direct: Whether to call replicas on their own HTTP port where they have one.
    """

    def __init__(self, direct: bool = True) -> None:
        self._direct = direct
        self._handles: dict[tuple[str, str], DeploymentHandle[Any]] = {}
        self._platform = PlatformStates()
        self._balancer = Balancer(time.monotonic, random.Random())
        self._queues = Queues()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding"),
        )

    async def send(self, config: DomainConfig, request: ExpertRequest) -> ExpertReply:
        """Send to a replica, moving to another while nothing has come back."""
        for _ in range(MAX_TRIES):
            try:
                return await self._try(config, request)
            except (aiohttp.ClientError, ExpertFailedError) as error:
                logger.warning("a replica of %s broke: %r", config.application, error)
                await asyncio.sleep(RETRY_PAUSE_S)
        raise _broke()

    async def _try(self, config: DomainConfig, request: ExpertRequest) -> ExpertReply:
        endpoint = None
        if self._direct:
            replica = self._balancer.pick(running_replicas(self._handle(config)))
            if replica is not None:
                endpoint = replica.host, replica.port
            else:
                endpoint = await self._wait(self._reserve(config), config, request)
        if endpoint is None:
            return await self._call(config, request)
        return await self._post(config.application, *endpoint, request)

    async def _post(self, application: str, host: str, port: int, request: ExpertRequest) -> AiohttpReply:
        self._balancer.began(host, port)
        ended = self._queues.runs(application)
        sent_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(request.head_timeout_s):
                response = await self._session.post(
                    f"http://{host}:{port}{request.path}",
                    data=request.body,
                    headers={"content-type": "application/json", "x-request-id": request.request_id},
                )
        except BaseException as error:
            self._balancer.ended(host, port)
            ended()
            if isinstance(error, aiohttp.ClientError):
                self._balancer.broke(host, port)
            raise

        def on_close() -> None:
            self._balancer.ended(host, port)
            ended()

        return AiohttpReply(response, sent_at, on_close)

    async def _call(self, config: DomainConfig, request: ExpertRequest) -> ExpertReply:
        handle = self._handle(config).options(method_name="respond", stream=True)
        reply = HandleReply(handle.remote(request.path, request.body, request.request_id))
        try:
            await self._wait(reply.accepted(), config, request)
            reply.on_close = self._queues.runs(config.application)
            async with asyncio.timeout(request.head_timeout_s):
                await reply.head()
        except BaseException:
            await reply.aclose()
            raise
        return reply

    async def _reserve(self, config: DomainConfig) -> tuple[str, int] | None:
        # Left before sending: the HTTP request takes its own place in the replica's count.
        async with self._handle(config).choose_replica() as selection:
            return http_endpoint(selection)

    async def _wait(self, work: Coroutine[Any, Any, T], config: DomainConfig, request: ExpertRequest) -> T:
        """Await what needs a replica; the wait wakes a sleeping expert.

        While it lasts the application's state is watched: a failed one would let us wait for ever.
        """
        task = asyncio.ensure_future(work)
        deadline = asyncio.get_running_loop().time() + request.start_timeout_s
        try:
            with self._queues.waiting(config.application):
                while not (await asyncio.wait({task}, timeout=STATES_TTL_S))[0]:
                    if (await self.states({"": config}))[""].state == "failed":
                        raise _unavailable(config, request)
                    if asyncio.get_running_loop().time() > deadline:
                        raise _starting(request)
            return task.result()
        except BackPressureError:
            raise OverloadedError(
                "Too many requests wait for this expert. Retry later.", None, None, request.retry_after_s
            ) from None
        except (DeploymentUnavailableError, KeyError) as error:
            logger.warning("no replica of %s: %r", config.application, error)
            raise _unavailable(config, request) from None
        finally:
            task.cancel()

    async def states(self, configs: Mapping[str, DomainConfig]) -> dict[str, ExpertState]:
        """Return the state of each domain's expert."""
        applications = await self._platform.applications()
        return {
            domain: replace(
                expert_state(applications.get(config.application), config.deployment),
                num_running=self._queues.num_running(config.application),
                num_waiting=self._queues.num_waiting(config.application),
            )
            for domain, config in configs.items()
        }

    def _handle(self, config: DomainConfig) -> DeploymentHandle[Any]:
        key = (config.application, config.deployment)
        if key not in self._handles:
            self._handles[key] = serve.get_deployment_handle(config.deployment, config.application)
        return self._handles[key]


def _broke() -> ExpertFailedError:
    return ExpertFailedError("The expert broke off. Retry.")


def _starting(request: ExpertRequest) -> ExpertUnavailableError:
    return ExpertUnavailableError(
        f"The expert had no free replica within {request.start_timeout_s:g} s. Retry later.",
        None,
        "expert_starting",
        request.retry_after_s,
    )


def _unavailable(config: DomainConfig, request: ExpertRequest) -> ExpertUnavailableError:
    return ExpertUnavailableError(
        f"The expert application {config.application!r} has failed or is not deployed.",
        None,
        "expert_failed",
        request.retry_after_s,
    )

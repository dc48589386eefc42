"""The gateway's brain: text → scores → decision → expert, with deadlines and fallbacks.

Knows nothing of HTTP servers or Ray: experts and the router are protocols.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from modem.config import GatewayConfig, LimitsConfig
from modem.errors import ConfigError, ExpertTimeoutError, ExpertUnavailableError
from modem.experts.base import ExpertReply, ExpertRequest, Experts
from modem.openai.errors import from_engine
from modem.openai.request import CompletionRequest, body_for
from modem.openai.sse import engine_error
from modem.routing.policy import Heard, decide, hear, pin, to_score
from modem.routing.text import RoutingText
from modem.types import AddedDomain, DomainScores, RouterIdentity, RoutingDecision
from modem.watchdog import Watchdog

logger = logging.getLogger("ray.serve")
Clock = Callable[[], float]


class Scorer(Protocol):
    """The router as seen from the gateway: remote, batched, fallible."""

    def configure(self, added: Sequence[AddedDomain]) -> None:
        """Take the domains to score besides those that the router was trained on."""
        ...

    async def score(self, texts: Sequence[str]) -> Sequence[DomainScores | None]:
        """Score each text, in order; None for one on which the router failed."""
        ...

    async def identity(self) -> RouterIdentity:
        """Name and version of the router that answers."""
        ...


class Answer:
    """An expert's answer: complete (``body``) or a stream of chunks under its deadlines.

    Close it in any case: closing it early stops the generation.
    """

    def __init__(self, decision: RoutingDecision, reply: ExpertReply, limits: LimitsConfig) -> None:
        self.decision = decision
        self._reply = reply
        self._limits = limits
        self._deadline = reply.sent_at + limits.request_timeout_s
        self._watchdog = Watchdog(limits.stream_idle_timeout_s, self._deadline)
        self._first: bytes | None = None

    async def aclose(self) -> None:
        """Give the answer up, or its connection back if it is complete."""
        self._watchdog.close()
        await self._reply.aclose()

    async def body(self) -> bytes:
        """Return the whole body of an answer that is not a stream.

        Raises:
            ExpertTimeoutError: It took longer than ``request_timeout_s``.
            ExpertFailedError: The expert broke.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._reply.read()
        except TimeoutError:
            raise _too_slow(self._limits) from None

    async def peek(self) -> None:
        """Wait for the first chunk, so that an early error can still become an HTTP status.

        Raises:
            ServingError: As `next_chunk`.
        """
        self._first = await self._receive()

    async def next_chunk(self) -> bytes:
        """Return the next bytes of a stream as they arrive; empty at its end.

        Raises:
            ExpertTimeoutError: The stream was silent, or took, longer than allowed.
            ExpertFailedError: The expert broke.
            ServingError: The engine wrote an error into its stream.
        """
        if self._first is not None:
            chunk, self._first = self._first, None
            return chunk
        return await self._receive()

    async def _receive(self) -> bytes:
        try:
            chunk = await self._watchdog.wait(self._reply.next_chunk())
        except TimeoutError:
            if asyncio.get_running_loop().time() >= self._deadline:
                raise _too_slow(self._limits) from None
            raise ExpertTimeoutError(
                f"The expert sent nothing for {self._limits.stream_idle_timeout_s:g} s. Retry."
            ) from None
        if error := engine_error(chunk, self._limits.retry_after_s):
            raise error
        return chunk


class Dispatcher:
    """Routes requests and opens answers.

    Args:
        scorer: The router.
        experts: The experts.
        clock: Seconds, monotonic.
    """

    def __init__(self, scorer: Scorer, experts: Experts, clock: Clock = time.perf_counter) -> None:
        self.experts = experts
        self.scorer = scorer
        self._clock = clock
        self._config: GatewayConfig | None = None

    @property
    def is_configured(self) -> bool:
        """Whether there are settings."""
        return self._config is not None

    @property
    def config(self) -> GatewayConfig:
        """The settings in force. Read once per request, because they may change at any time.

        Raises:
            ConfigError: There are none yet.
        """
        if self._config is None:
            raise ConfigError("The Gateway has no user_config: write one in the Serve config file.")
        return self._config

    def configure(self, config: GatewayConfig) -> None:
        """Take new settings; requests under way keep theirs where they have read them."""
        self._config = config
        self.scorer.configure(config.added_domains())

    async def route(
        self, texts: Sequence[RoutingText], config: GatewayConfig | None = None
    ) -> list[RoutingDecision]:
        """Decide for each request; never fails: a broken or slow router means the fallback.

        Args:
            texts: What is to be classified of each.
            config: The settings to go by, for a caller who goes on with them; those in force by default.
        """
        config = config or self.config
        started = self._clock()
        try:
            async with asyncio.timeout(config.routing.deadline_s):
                scores = await self.scorer.score(to_score(texts))
            router_ms = (self._clock() - started) * 1000
            # In here, because a custom router may answer anything.
            return [decide(heard, config, router_ms) for heard in hear(texts, scores)]
        except TimeoutError:
            logger.warning("the router missed its deadline of %g s", config.routing.deadline_s)
        except Exception:  # whatever broke the router must not break the service
            logger.warning("the router failed", exc_info=True)
        router_ms = (self._clock() - started) * 1000
        return [decide(Heard(None), config, router_ms) for _ in texts]

    async def decide(self, request: CompletionRequest) -> RoutingDecision:
        """Decide where one request goes, asking the router unless the client named a domain."""
        if request.pinned is not None:
            return pin(request.pinned)
        return (await self.route([request.routing_text()]))[0]

    async def open(self, request: CompletionRequest, decision: RoutingDecision, request_id: str) -> Answer:
        """Open the answer of the decided expert, or of the fallback if that expert has failed.

        A stream's first chunk has arrived when this returns.

        Raises:
            ServingError: The expert refused, failed, or was not up within its deadline.
        """
        try:
            return await self._open(request, decision, request_id)
        except ExpertUnavailableError as error:
            fallback = self.config.routing.fallback
            if error.code != "expert_failed" or decision.reason == "pinned" or decision.domain == fallback:
                raise
            logger.warning("expert %s has failed; %s answers", decision.domain, fallback)
            return await self._open(
                request, replace(decision, domain=fallback, reason="expert_unavailable"), request_id
            )

    async def _open(self, request: CompletionRequest, decision: RoutingDecision, request_id: str) -> Answer:
        domain, limits = self.config.domains.get(decision.domain), self.config.limits
        if domain is None:  # the settings have changed since the decision
            raise ExpertUnavailableError(
                f"The domain {decision.domain!r} is no longer served.",
                None,
                "expert_failed",
                limits.retry_after_s,
            )
        wire = ExpertRequest(
            path=f"/v1/{request.endpoint}",
            body=body_for(request, decision.domain, domain),
            request_id=request_id,
            start_timeout_s=limits.start_timeout_s,
            head_timeout_s=limits.request_timeout_s,
            retry_after_s=limits.retry_after_s,
        )
        try:
            reply = await self.experts.send(domain, wire)
        except TimeoutError:
            raise _too_slow(limits) from None
        answer = Answer(decision, reply, limits)
        try:
            if reply.status >= 400:
                field = "messages" if request.endpoint == "chat/completions" else "prompt"
                raise from_engine(reply.status, await answer.body(), limits.retry_after_s, field)
            if request.stream:
                await answer.peek()
        except BaseException:
            await reply.aclose()
            raise
        return answer


def _too_slow(limits: LimitsConfig) -> ExpertTimeoutError:
    return ExpertTimeoutError(
        f"The answer took longer than {limits.request_timeout_s:g} s. Ask for fewer tokens, or stream."
    )

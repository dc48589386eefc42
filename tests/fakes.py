"""In-memory stand-ins for the gateway's neighbours: the router and the experts, under a test's control."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from modem.config import DomainConfig, GatewayConfig
from modem.experts.base import ExpertReply, ExpertRequest
from modem.types import AddedDomain, DomainScores, ExpertState, RouterIdentity
from tests.builders import gateway_config


def config(**changes: object) -> GatewayConfig:
    """Settings of the domains ``other``, ``math`` and ``health``."""
    return GatewayConfig.model_validate(gateway_config(("other", "math", "health"), **changes))


class FakeScorer:
    """Scores 0.9 for ``math`` unless told otherwise (`modem.dispatch.Scorer`).

    Attributes:
        texts: What it was asked.
        answer: Called with the texts; may raise or wait.
        added: The domains it was last configured with.
        broken: Raised by `identity`.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.added: Sequence[AddedDomain] = ()
        self.answer: Callable[[Sequence[str]], Awaitable[list[DomainScores]]] = _math
        self.broken: Exception | None = None

    def configure(self, added: Sequence[AddedDomain]) -> None:
        self.added = added

    async def score(self, texts: Sequence[str]) -> list[DomainScores]:
        self.texts += texts
        return await self.answer(texts)

    async def identity(self) -> RouterIdentity:
        if self.broken:
            raise self.broken
        return RouterIdentity("fake", "1")


async def _math(texts: Sequence[str]) -> list[DomainScores]:
    return [DomainScores({"math": 0.9, "other": 0.1}) for _ in texts]


class FakeReply:
    """A reply whose parts a test supplies before or while it is read (`ExpertReply`).

    An exception among the parts is raised in its turn. Without an end it stays open.

    Attributes:
        num_closed: How often it was closed.
    """

    def __init__(self, *parts: bytes | Exception, status: int = 200, end: bool = True) -> None:
        self.status = status
        self.sent_at = asyncio.get_running_loop().time()
        self.num_closed = 0
        self._parts: deque[bytes | Exception] = deque(parts)
        self._more = asyncio.Condition()
        self._ended = end

    async def put(self, part: bytes | Exception) -> None:
        """Supply one part more; an empty one ends the reply."""
        async with self._more:
            if part == b"":
                self._ended = True
            else:
                self._parts.append(part)
            self._more.notify_all()

    async def read(self) -> bytes:
        whole = b""
        while chunk := await self.next_chunk():
            whole += chunk
        return whole

    async def next_chunk(self) -> bytes:
        async with self._more:
            await self._more.wait_for(lambda: self._parts or self._ended)
            part = self._parts.popleft() if self._parts else b""
        if isinstance(part, Exception):
            raise part
        return part

    async def aclose(self) -> None:
        self.num_closed += 1


class FakeExperts:
    """Experts that answer what a test supplies per application (`modem.experts.base.Experts`).

    Attributes:
        replies: The next replies, or errors, of each application; the last one is used again.
        sent: All requests, with the application that got them.
        gate: Requests wait for it, as for a replica that starts.
        known: The states per domain; ready with one replica if not named.
    """

    def __init__(self) -> None:
        self.replies: dict[str, list[FakeReply | Exception]] = {}
        self.sent: list[tuple[str, ExpertRequest]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.known: dict[str, ExpertState] = {}

    def will(self, domain: str, *replies: FakeReply | Exception) -> None:
        self.replies[f"expert-{domain}"] = list(replies)

    async def send(self, config: DomainConfig, request: ExpertRequest) -> ExpertReply:
        self.sent.append((config.application, request))
        await self.gate.wait()
        left = self.replies[config.application]
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def states(self, configs: Mapping[str, DomainConfig]) -> dict[str, ExpertState]:
        return {domain: self.known.get(domain, ExpertState("ready", 1)) for domain in configs}

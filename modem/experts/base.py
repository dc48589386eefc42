"""What the dispatcher needs of an expert, whatever carries the bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from modem.config import DomainConfig
from modem.types import ExpertState


@dataclass(frozen=True, slots=True)
class ExpertRequest:
    """One HTTP request to an expert's OpenAI application.

    Attributes:
        path: ``/v1/chat/completions`` or ``/v1/completions``.
        body: JSON, ready to send.
        request_id: Sent as ``x-request-id``, so that the engine's log names it too.
        start_timeout_s: Longest wait for a replica.
        head_timeout_s: Longest wait for the reply's head once a replica has the request. The head
            of an answer that is not a stream comes when the answer is complete.
        retry_after_s: What errors that time may mend are to advise.
    """

    path: str
    body: bytes
    request_id: str
    start_timeout_s: float
    head_timeout_s: float
    retry_after_s: float


class ExpertReply(Protocol):
    """A reply whose head has arrived."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def sent_at(self) -> float:
        """The event loop's time at which a replica had the request: its deadlines count from here."""
        ...

    async def read(self) -> bytes:
        """Return the rest of the body.

        Raises:
            ExpertFailedError: The connection broke.
        """
        ...

    async def next_chunk(self) -> bytes:
        """Return the next bytes as they arrive; empty at the end.

        Raises:
            ExpertFailedError: The connection broke.
        """
        ...

    async def aclose(self) -> None:
        """Give the connection up; if the answer is not finished, the engine stops generating."""
        ...


class Experts(Protocol):
    """All experts, found by the domain's configuration."""

    async def send(self, config: DomainConfig, request: ExpertRequest) -> ExpertReply:
        """Send a request to a replica, waiting for one to start if need be.

        Raises:
            OverloadedError: Too many requests already wait.
            ExpertUnavailableError: The application failed (code ``expert_failed``) or has no replica
                within the deadline (code ``expert_starting``).
            ExpertFailedError: The replica broke before its reply began, and so did its stand-ins.
            TimeoutError: The head did not come within ``head_timeout_s``.
        """
        ...

    async def states(self, configs: Mapping[str, DomainConfig]) -> dict[str, ExpertState]:
        """Return the state per domain id, as the platform saw it about a second ago."""
        ...

"""What every router is: texts in, probabilities over domains out."""

from collections.abc import Sequence
from typing import Protocol

from modem.types import DomainScores, RouterIdentity


class Router(Protocol):
    """A domain classifier. Implementations are called from one thread at a time."""

    @property
    def identity(self) -> RouterIdentity:
        """Name and version, reported with every decision."""
        ...

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains it can tell apart."""
        ...

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; one result per text, in order. Blocking and CPU-bound.

        Args:
            texts: Any length, the empty string included.
        """
        ...

"""What every router is: texts in, probabilities over domains out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


class Embedder(Protocol):
    """What some routers can do besides: say where texts lie. Domains are added to those that can.

    Whether a router is one, wrapped or not, tells ``hasattr(router, "embed")``.
    """

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed each text; texts that mean like things lie close. Blocking and CPU-bound.

        Args:
            texts: As for `Router.score`.

        Returns:
            Shape ``[len(texts), dim]``; every row has length 1.
        """
        ...

"""What routers that are one network have in common: scores and embeddings out of the same pass."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.routing.folder import Background
from modem.routing.scores import to_scores
from modem.types import DomainScores, RouterIdentity


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network puts out for n texts.

    Attributes:
        logits: Shape ``[n, k]``.
        embeddings: Shape ``[n, dim]``, rows of length 1.
    """

    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class NetworkRouter(ABC):
    """A `modem.routing.base.Router` and `Embedder`; a subclass runs the network.

    Args:
        identity: Reported with every decision.
        domains: The k domains in the order of the logits.
        temperature: Logits are divided by it.
    """

    def __init__(self, identity: RouterIdentity, domains: tuple[str, ...], temperature: float) -> None:
        self.identity = identity
        self.domains = domains
        self._temperature = temperature
        self._latest: tuple[tuple[str, ...], Outputs] | None = None

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        return to_scores(self.outputs(texts).logits, self._temperature, self.domains, texts)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed each text; see `modem.routing.base.Embedder`. Free for the texts scored last."""
        return self.outputs(texts).embeddings

    @abstractmethod
    def background(self) -> Background | None:
        """Return embeddings of prompts it was trained on, if its folder has any."""

    @abstractmethod
    def _run(self, texts: Sequence[str]) -> Outputs:
        """Run the network, for no texts too."""

    def outputs(self, texts: Sequence[str]) -> Outputs:
        """Return what the network puts out; for the latest texts without another pass: two may ask for it."""
        asked = tuple(texts)
        if self._latest is None or self._latest[0] != asked:
            self._latest = (asked, self._run(asked))
        return self._latest[1]

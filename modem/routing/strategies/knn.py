"""The domains of the most similar prompts, on a frozen encoder (arXiv 2505.12601).

Nothing is trained: a prompt that is added to the store counts at once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.routing.scores import by_domain
from modem.routing.strategies.base import columns, log_loss
from modem.routing.strategies.embedded import Encoder, load_encoder
from modem.routing.strategies.state import Fitted, read_state
from modem.types import DomainScores

KIND = "knn"

NUM_NEIGHBOURS = 50

SHARPNESSES = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0)
"""How much more a nearer neighbour may weigh: its vote is ``exp(sharpness * cosine)``."""

PRIOR = 0.02
"""Share of the votes that all domains get, so that none has a probability of 0."""

_NUM_CHOOSING = 500
"""Known prompts that choose the sharpness, each by its neighbours without itself."""


class NeighbourRouter(Fitted):
    """A `modem.routing.base.Router` by neighbours.

    Args:
        encoder: Embeds the texts.
        domains: The k domains.
        embeddings: Of the m known prompts; shape ``[m, dim]``, rows of length 1.
        truth: Their columns; shape ``[m]``.
        sharpness: See `SHARPNESSES`.
    """

    kind = KIND

    def __init__(
        self,
        encoder: Encoder,
        domains: Sequence[str],
        embeddings: NDArray[np.float16],
        truth: NDArray[np.int64],
        sharpness: float,
    ) -> None:
        self.domains = tuple(domains)
        self._encoder, self._embeddings, self._truth = encoder, embeddings, truth
        self._known = embeddings.astype(np.float32)
        self._sharpness = sharpness
        self.identity = self._identity()

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        if not texts:
            return []
        cosines = self._encoder.embed(texts) @ self._known.T
        return by_domain(vote(cosines, self._truth, self._sharpness), self.domains, texts)

    def _names(self) -> dict[str, Any]:
        return {
            "domains": list(self.domains),
            "encoder_sha256": self._encoder.sha256,
            "sharpness": self._sharpness,
        }

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"embeddings": self._embeddings, "truth": self._truth}


def fit(texts: Sequence[str], labels: Sequence[str], encoder: Encoder) -> NeighbourRouter:
    """Embed the prompts and keep them; the sharpness is chosen by log loss among themselves."""
    domains, truth = columns(labels)
    embeddings = encoder.embed(texts)
    sharpness = _choose_sharpness(embeddings, truth)
    return NeighbourRouter(encoder, domains, embeddings.astype(np.float16), truth, sharpness)


def load(folder: str, encoder: str = "package") -> NeighbourRouter:
    """Read a fitted one, for ``RouterConfig.import_path``.

    Raises:
        ConfigError: There is none in the folder, or it was fitted on another encoder.
    """
    names, arrays = read_state(folder, KIND)
    found = load_encoder(encoder, names["encoder_sha256"])
    return NeighbourRouter(found, names["domains"], arrays["embeddings"], arrays["truth"], names["sharpness"])


def vote(cosines: NDArray[np.float32], truth: NDArray[np.int64], sharpness: float) -> NDArray[np.float64]:
    """Return the probabilities that the nearest neighbours vote for.

    Domains weigh the same, however many prompts they have.

    Args:
        cosines: Similarity of n texts to the m known prompts; shape ``[n, m]``.
        truth: Columns of the known prompts; shape ``[m]``; every one of the k columns occurs.
        sharpness: See `SHARPNESSES`.

    Returns:
        Shape ``[n, k]``.
    """
    sizes = np.bincount(truth)
    count = min(NUM_NEIGHBOURS, len(truth))
    nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(cosines, nearest, axis=1).astype(np.float64)
    votes = np.exp(sharpness * (near - near.max(axis=1, keepdims=True)))
    by_domain = np.stack([(votes * (truth[nearest] == k)).sum(axis=1) for k in range(len(sizes))], axis=1)
    weighed = by_domain / sizes
    shares: NDArray[np.float64] = weighed / weighed.sum(axis=1, keepdims=True)
    return (1 - PRIOR) * shares + PRIOR / len(sizes)


def _choose_sharpness(embeddings: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Return the sharpness with the least log loss of known prompts, each left out in turn."""
    asked = np.arange(0, len(truth), max(1, len(truth) // _NUM_CHOOSING))
    cosines = embeddings[asked] @ embeddings.T
    cosines[np.arange(len(asked)), asked] = -np.inf
    return min(SHARPNESSES, key=lambda sharpness: log_loss(vote(cosines, truth, sharpness), truth[asked]))

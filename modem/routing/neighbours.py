"""A vote of the training prompts that are nearest to a text, beside the trained head.

Head and neighbours err on different prompts: the head has drawn one line through each domain, neighbours
know every topic they have seen. k nearest neighbours alone route as well as trained routers do
(arXiv 2505.12601); the mean of both does better than either.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modem.config import Config
from modem.errors import ConfigError
from modem.routing.calibration import softmax

NEIGHBOURS = "neighbours.safetensors"

_SMOOTHING = 0.02
"""Votes that all domains share, relative to those cast: no domain is ruled out."""

_COARSE_DIM = 32
_CANDIDATES = 1280
"""The first components choose so many points, among which the nearest are looked for; at least eight times
as many as the most that `modem.training.neighbours` lets vote."""

Vector = NDArray[np.float32]


class NeighboursConfig(Config):
    """How the neighbours vote.

    Attributes:
        num: Nearest prompts that vote.
        temperature: A prompt's vote falls by a factor e per so much difference in half the squared distance.
        share: Of the neighbours in the probabilities; the head has the rest.
    """

    num: int = Field(default=20, ge=1)
    temperature: float = Field(default=0.03, gt=0)
    share: float = Field(default=0.5, ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Points:
    """Training prompts as points in few dimensions.

    Attributes:
        mean: Of the embeddings, shape ``[dim]``.
        projection: Onto their principal components, shape ``[dim, r]``.
        points: The prompts, shape ``[n, r]``.
        labels: Column of each prompt's domain, shape ``[n]``.
        bias: Added to the logarithms of the votes, shape ``[k]``: the prior of live traffic.
    """

    mean: Vector
    projection: Vector
    points: Vector
    labels: NDArray[np.int64]
    bias: Vector


class Neighbours:
    """Votes on embeddings.

    Args:
        points: Who votes.
        config: How.
    """

    def __init__(self, points: Points, config: NeighboursConfig) -> None:
        self._points = points
        self._config = config
        self._half_norms = (points.points**2).sum(axis=1) / 2
        self._coarse = np.ascontiguousarray(points.points[:, :_COARSE_DIM])
        sizes = np.bincount(points.labels, minlength=len(points.bias))
        # Domains count the same however many prompts they have; the bias says how frequent they are.
        self._weights = (len(points.labels) / (len(sizes) * np.maximum(sizes, 1)))[points.labels]

    def mix(self, logits: Vector, embedding: Vector) -> Vector:
        """Return the logarithms of the mean of the head's and the neighbours' probabilities, shape ``[k]``.

        Args:
            logits: The head's, shape ``[k]``.
            embedding: The text's, shape ``[dim]``.
        """
        nearest, nearness = self.nearest(embedding)
        votes = self.votes(nearest[None], nearness[None])
        mixed: Vector = mix(logits[None], votes, self._config.share)[0]
        return mixed

    def nearest(self, embedding: Vector) -> tuple[NDArray[np.int64], Vector]:
        """Return the nearest points and how near they are, each of shape ``[num]``, the nearest first.

        Components fall in variance, so among many points the first few leave out all that are far; of
        22,000 prompts one in 60 of the 160 nearest is lost by it, and hardly one of the 20 nearest.

        Args:
            embedding: Shape ``[dim]``.
        """
        points = self._points
        num = min(self._config.num, len(points.labels))
        # einsum, not @: BLAS would wake a thread on every core for this, and they spin longer than the work
        # takes (23 CPU-ms more a decision on two cores).
        at = np.einsum("d,dr->r", embedding - points.mean, points.projection)
        rows = self._candidates(at, max(_CANDIDATES, 8 * num))
        # Half the squared distance, less what is the same for all points: the greater, the nearer.
        nearness = np.einsum("nr,r->n", points.points[rows], at) - self._half_norms[rows]
        found = np.argpartition(-nearness, num - 1)[:num]
        found = found[np.argsort(-nearness[found], kind="stable")]
        return rows[found], nearness[found]

    def _candidates(self, at: Vector, num: int) -> NDArray[np.int64]:
        """Return the points that are nearest in the first components; all if there are so few."""
        if len(self._coarse) <= num:
            return np.arange(len(self._coarse))
        nearness = np.einsum("nr,r->n", self._coarse, at[: self._coarse.shape[1]]) - self._half_norms
        return np.argpartition(-nearness, num)[:num]

    def votes(self, nearest: NDArray[np.int64], nearness: Vector) -> NDArray[np.float64]:
        """Return the neighbours' probabilities for n texts, shape ``[n, k]``.

        Args:
            nearest: Points, shape ``[n, num]``.
            nearness: How near they are, the nearest first.
        """
        labels = self._points.labels[nearest]
        falls = (nearness - nearness[:, :1]).astype(np.float64) / self._config.temperature
        weights = np.exp(falls) * self._weights[nearest]
        num_domains = len(self._points.bias)
        votes = np.stack(
            [(weights * (labels == column)).sum(axis=1) for column in range(num_domains)], axis=1
        )
        votes += _SMOOTHING * votes.mean(axis=1, keepdims=True)
        return softmax(np.log(votes) + self._points.bias)


def mix(logits: NDArray[np.float32], votes: NDArray[np.float64], share: float) -> NDArray[np.float32]:
    """Return the logarithms of the weighted mean of both, shape ``[n, k]``.

    Args:
        logits: The head's, shape ``[n, k]``.
        votes: The neighbours' probabilities, shape ``[n, k]``.
        share: Weight of the neighbours, in [0, 1].
    """
    found = (1 - share) * softmax(logits) + share * votes
    result: NDArray[np.float32] = np.log(np.maximum(found, np.finfo(np.float32).tiny)).astype(np.float32)
    return result


def read_points(folder: Path, dim: int, num_domains: int, remedy: str) -> Points:
    """Read a folder's points; stored as int8 with one scale.

    Raises:
        ConfigError: They are missing, or not those of this router.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / NEIGHBOURS
    try:
        tensors = load_file(file)
        points = Points(
            mean=tensors["mean"].astype(np.float32),
            projection=tensors["projection"].astype(np.float32),
            points=tensors["points"].astype(np.float32) * tensors["scale"].astype(np.float32),
            labels=tensors["labels"].astype(np.int64),
            bias=tensors["bias"].astype(np.float32),
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(f"router.model: {file} is not usable: {error}; {remedy}") from error
    n, r = len(points.labels), points.projection.shape[-1]
    fits = (
        n > 0
        and points.mean.shape == (dim,)
        and points.projection.shape == (dim, r)
        and points.points.shape == (n, r)
        and points.bias.shape == (num_domains,)
        and 0 <= points.labels.min() <= points.labels.max() < num_domains
    )
    if not fits:
        raise ConfigError(f"router.model: {file} holds the neighbours of another router; {remedy}")
    return points

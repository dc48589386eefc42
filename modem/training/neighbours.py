"""The neighbours that vote beside a trained head: fitted, chosen and written (`modem.routing.neighbours`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.routing.calibration import softmax
from modem.routing.neighbours import NEIGHBOURS, Neighbours, NeighboursConfig, Points, mix
from modem.routing.network_router import Outputs

NUMS = (20, 40, 80, 160)
TEMPERATURES = (0.03, 0.05, 0.08)
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
"""What is tried of `NeighboursConfig`."""

SHARPNESS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Temperatures of the final probabilities that are tried."""

_INT8 = 127


@dataclass(frozen=True, slots=True)
class Scored:
    """What a network says about a set.

    Attributes:
        outputs: Of its n texts.
        labels: The n true columns.
    """

    outputs: Outputs
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings with the least log loss.

    Attributes:
        config: Of the neighbours.
        temperature: Of the final probabilities.
        log_loss: Mean over the sets.
        without: The same of the head alone at temperature 1.
    """

    config: NeighboursConfig
    temperature: float
    log_loss: float
    without: float


def fit_points(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], bias: NDArray[np.float32], dim: int
) -> Points:
    """Project embeddings onto their principal components, rounded as they are stored.

    Args:
        embeddings: Of the training prompts, shape ``[n, d]``.
        labels: Their columns, shape ``[n]``.
        bias: Logarithm of each domain's share in live traffic over its share here, shape ``[k]``.
        dim: Components that are kept; all if there are fewer.
    """
    mean = embeddings.mean(axis=0)
    centred = embeddings - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    projection = np.ascontiguousarray(vectors[:, ::-1][:, :dim]).astype(np.float32)
    points = centred @ projection
    scale = _scale(points)
    rounded = (np.round(points / scale) * scale).astype(np.float32)
    return Points(mean.astype(np.float32), projection, rounded, labels, bias.astype(np.float32))


def choose(points: Points, sets: Mapping[str, Scored]) -> Chosen:
    """Choose how the neighbours vote by the mean log loss over the sets, so that each counts the same.

    Args:
        points: Who votes.
        sets: Prompts that were not learnt; never a test set.
    """
    near = [_near(points, scored) for scored in sets.values()]
    losses = {config: _log_loss(points, config, near, 1.0) for config in _configs()}
    best = min(losses, key=lambda config: losses[config])
    by_temperature = {t: _log_loss(points, best, near, t) for t in SHARPNESS}
    temperature = min(by_temperature, key=lambda t: by_temperature[t])
    alone = _log_loss(points, NeighboursConfig(share=0.0), near, 1.0)
    return Chosen(best, temperature, by_temperature[temperature], alone)


def write_points(points: Points, out: Path) -> None:
    """Write what `modem.routing.neighbours.read_points` reads."""
    from safetensors.numpy import save_file

    scale = _scale(points.points)
    tensors: dict[str, NDArray[Any]] = {
        "mean": points.mean,
        "projection": points.projection,
        "points": np.round(points.points / scale).astype(np.int8),
        "scale": np.array(scale, dtype=np.float32),
        "labels": points.labels.astype(np.uint8),
        "bias": points.bias,
    }
    save_file(tensors, out / NEIGHBOURS)


def _configs() -> Iterator[NeighboursConfig]:
    for num, temperature, share in product(NUMS, TEMPERATURES, SHARES):
        yield NeighboursConfig(num=num, temperature=temperature, share=share)


@dataclass(frozen=True, slots=True)
class _Near:
    """A set with the most neighbours that may vote, the nearest first."""

    scored: Scored
    nearest: NDArray[np.int64]
    nearness: NDArray[np.float32]


def _near(points: Points, scored: Scored) -> _Near:
    neighbours = Neighbours(points, NeighboursConfig(num=max(NUMS)))
    found = [neighbours.nearest(embedding) for embedding in scored.outputs.embeddings]
    return _Near(scored, np.stack([one for one, _ in found]), np.stack([other for _, other in found]))


def _log_loss(points: Points, config: NeighboursConfig, sets: Sequence[_Near], temperature: float) -> float:
    neighbours = Neighbours(points, config)
    return fmean(_loss_on(neighbours, config, near, temperature) for near in sets)


def _loss_on(neighbours: Neighbours, config: NeighboursConfig, near: _Near, temperature: float) -> float:
    votes = neighbours.votes(near.nearest[:, : config.num], near.nearness[:, : config.num])
    found = softmax(mix(near.scored.outputs.logits, votes, config.share), temperature)
    return float(-np.log(found[np.arange(len(found)), near.scored.labels]).mean())


def _scale(points: NDArray[np.float32]) -> float:
    return float(max(np.abs(points).max(), np.finfo(np.float32).tiny)) / _INT8

"""What the strategies share: domains as columns, log loss, an encoder as a function."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""From n texts to unit vectors of shape ``[n, dim]``."""


def columns(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the domains in order, and the column of each label.

    Raises:
        ConfigError: There are fewer than two domains.
    """
    domains = tuple(sorted(set(labels)))
    if len(domains) < 2:
        raise ConfigError(
            f"a strategy is fitted to prompts of two domains or more; there are {list(domains)}"
        )
    return domains, np.array([domains.index(label) for label in labels], dtype=np.int64)


def log_loss(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the mean of -ln(probability of the truth) for probabilities of shape ``[n, k]``."""
    of_truth = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(of_truth, 1e-12, 1.0)).mean())

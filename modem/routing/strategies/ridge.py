"""Ridge regression on a frozen encoder (arXiv 2606.06098): one linear system, solved exactly.

``W = (X'X + penalty I)^-1 X'Y``. The sums X'X and X'Y are all that is kept of the prompts, so a domain is
added or removed by adding or subtracting its own sums, and no other domain's prompts are needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.routing.calibration import softmax
from modem.routing.scores import by_domain
from modem.routing.strategies.base import columns, log_loss
from modem.routing.strategies.embedded import Encoder, load_encoder
from modem.routing.strategies.state import Fitted, read_state
from modem.types import DomainScores

KIND = "ridge"

PENALTY = 0.003
"""Per prompt that a domain would have if all had the same number."""

_SHARPNESSES = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
_ONE_IN = 5


@dataclass(frozen=True, slots=True)
class Sums:
    """The sufficient statistics of one domain's n prompts, each divided by n.

    Attributes:
        products: X'X, shape ``[dim + 1, dim + 1]``; the last column of X is 1.
        total: The sum of the rows of X, shape ``[dim + 1]``.
    """

    products: NDArray[np.float64]
    total: NDArray[np.float64]


class RidgeRouter(Fitted):
    """A `modem.routing.base.Router` by ridge regression.

    Args:
        encoder: Embeds the texts.
        sums: Of each domain.
        sharpness: Factor from what the regression says to logits.
    """

    kind = KIND

    def __init__(self, encoder: Encoder, sums: Mapping[str, Sums], sharpness: float) -> None:
        self.domains = tuple(sorted(sums))
        self._encoder, self._sums, self._sharpness = encoder, dict(sums), sharpness
        self._weights = _solve([sums[domain] for domain in self.domains])
        self.identity = self._identity()

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        if not texts:
            return []
        said = _with_one(self._encoder.embed(texts)) @ self._weights
        return by_domain(softmax(self._sharpness * said), self.domains, texts)

    def with_domain(self, domain: str, examples: Sequence[str]) -> "RidgeRouter":
        """Return a router that knows one more domain, from examples of it alone."""
        added = _sums(_with_one(self._encoder.embed(examples)))
        return RidgeRouter(self._encoder, {**self._sums, domain: added}, self._sharpness)

    def without_domain(self, domain: str) -> "RidgeRouter":
        """Return a router that never knew a domain."""
        kept = {name: sums for name, sums in self._sums.items() if name != domain}
        return RidgeRouter(self._encoder, kept, self._sharpness)

    def _names(self) -> dict[str, Any]:
        return {
            "domains": list(self.domains),
            "encoder_sha256": self._encoder.sha256,
            "sharpness": self._sharpness,
        }

    def _arrays(self) -> dict[str, NDArray[Any]]:
        found = [self._sums[domain] for domain in self.domains]
        return {
            "products": np.stack([sums.products for sums in found]),
            "totals": np.stack([sums.total for sums in found]),
        }


def fit(texts: Sequence[str], labels: Sequence[str], encoder: Encoder) -> RidgeRouter:
    """Sum up the prompts; the sharpness is chosen by log loss on a fifth that is left out for it."""
    domains, truth = columns(labels)
    rows = _with_one(encoder.embed(texts))
    sharpness = _choose_sharpness(rows, truth, _every_fifth(truth))
    sums = {domain: _sums(rows[truth == column]) for column, domain in enumerate(domains)}
    return RidgeRouter(encoder, sums, sharpness)


def load(folder: str, encoder: str = "package") -> RidgeRouter:
    """Read a fitted one, for ``RouterConfig.import_path``.

    Raises:
        ConfigError: There is none in the folder, or it was fitted on another encoder.
    """
    names, arrays = read_state(folder, KIND)
    found = load_encoder(encoder, names["encoder_sha256"])
    pairs = zip(arrays["products"], arrays["totals"], strict=True)
    sums = {domain: Sums(*pair) for domain, pair in zip(names["domains"], pairs, strict=True)}
    return RidgeRouter(found, sums, names["sharpness"])


def _with_one(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Append a column of ones, whose weight is the bias."""
    ones = np.ones((len(embeddings), 1))
    return np.hstack([embeddings.astype(np.float64), ones])


def _sums(rows: NDArray[np.float64]) -> Sums:
    return Sums(rows.T @ rows / len(rows), rows.sum(axis=0) / len(rows))


def _solve(sums: Sequence[Sums]) -> NDArray[np.float64]:
    """Return the weights of shape ``[dim + 1, k]``; all domains weigh the same."""
    products = np.sum([one.products for one in sums], axis=0)
    penalty = PENALTY * len(sums) * np.eye(len(products))
    penalty[-1, -1] = 0.0  # The bias is not penalised.
    found: NDArray[np.float64] = np.linalg.solve(
        products + penalty, np.stack([s.total for s in sums], axis=1)
    )
    return found


def _every_fifth(truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Select a fifth of the rows of each domain."""
    rank = np.zeros(len(truth), dtype=np.int64)
    for column in np.unique(truth):
        rank[truth == column] = np.arange((truth == column).sum())
    selected: NDArray[np.bool_] = rank % _ONE_IN == _ONE_IN - 1
    return selected


def _choose_sharpness(
    rows: NDArray[np.float64], truth: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> float:
    """Return the sharpness with the least log loss on the rows that are left out."""
    known, columns_known = rows[~held_out], truth[~held_out]
    present = sorted(set(columns_known.tolist()) & set(truth[held_out].tolist()))
    asked = held_out & np.isin(truth, present)
    if len(present) < 2:
        return _SHARPNESSES[len(_SHARPNESSES) // 2]
    weights = _solve([_sums(known[columns_known == column]) for column in present])
    said, wanted = rows[asked] @ weights, np.searchsorted(present, truth[asked])
    return min(_SHARPNESSES, key=lambda sharpness: log_loss(softmax(sharpness * said), wanted))

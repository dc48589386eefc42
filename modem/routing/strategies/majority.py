"""The share of each domain in the data, whatever the text: what any router has to beat."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modem.routing.scores import by_domain
from modem.routing.strategies.base import columns
from modem.routing.strategies.state import Fitted, read_state
from modem.types import DomainScores

KIND = "majority"


class MajorityRouter(Fitted):
    """A `modem.routing.base.Router` that does not read.

    Args:
        domains: The k domains.
        shares: Of each in the data; shape ``[k]``, summing to 1.
    """

    kind = KIND

    def __init__(self, domains: Sequence[str], shares: NDArray[np.float64]) -> None:
        self.domains = tuple(domains)
        self._shares = shares
        self.identity = self._identity()

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Give every text the same scores."""
        return by_domain(np.tile(self._shares, (len(texts), 1)), self.domains, texts)

    def _names(self) -> dict[str, list[str]]:
        return {"domains": list(self.domains)}

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {"shares": self._shares}


def fit(texts: Sequence[str], labels: Sequence[str]) -> MajorityRouter:
    """Count the labels."""
    domains, truth = columns(labels)
    return MajorityRouter(domains, np.bincount(truth, minlength=len(domains)) / len(truth))


def load(folder: str) -> MajorityRouter:
    """Read a fitted one, for ``RouterConfig.import_path``.

    Raises:
        ConfigError: There is none in the folder.
    """
    names, arrays = read_state(folder, KIND)
    return MajorityRouter(names["domains"], arrays["shares"])

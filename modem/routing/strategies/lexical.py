"""Words and pairs of words, weighted by TF-IDF, and a linear classifier: no neural network at all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.routing.calibration import softmax
from modem.routing.scores import by_domain
from modem.routing.strategies.base import columns
from modem.routing.strategies.state import Fitted, read_state
from modem.types import DomainScores

KIND = "tfidf-linear"

MAX_TERMS = 50_000
"""Terms that are kept, the most frequent ones."""

C = 10.0
"""Inverse strength of the L2 penalty."""


class LexicalRouter(Fitted):
    """A `modem.routing.base.Router` on words.

    Args:
        domains: The k domains.
        vocabulary: The terms, in the order of the columns of the weights.
        idf: Inverse document frequency of each term.
        weights: Shape ``[k, terms]``.
        bias: Shape ``[k]``.

    Raises:
        ConfigError: scikit-learn is missing.
    """

    kind = KIND

    def __init__(
        self,
        domains: Sequence[str],
        vocabulary: Sequence[str],
        idf: NDArray[np.float64],
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
    ) -> None:
        self.domains = tuple(domains)
        self._vocabulary = list(vocabulary)
        self._idf, self._weights, self._bias = idf, weights, bias
        self._vectorizer = _vectorizer({term: column for column, term in enumerate(vocabulary)})
        self._vectorizer.idf_ = idf
        self.identity = self._identity()

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        if not texts:
            return []
        logits = self._vectorizer.transform(texts) @ self._weights.T + self._bias
        return by_domain(softmax(np.asarray(logits, dtype=np.float64)), self.domains, texts)

    def _names(self) -> dict[str, list[str]]:
        return {"domains": list(self.domains), "vocabulary": self._vocabulary}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"idf": self._idf, "weights": self._weights, "bias": self._bias}


def fit(texts: Sequence[str], labels: Sequence[str]) -> LexicalRouter:
    """Fit the weights; domains weigh the same, however many prompts they have.

    Raises:
        ConfigError: scikit-learn is missing, or there are fewer than two domains.
    """
    domains, truth = columns(labels)
    vectorizer = _vectorizer(None)
    terms = vectorizer.fit_transform(texts)

    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, max_iter=1000, class_weight="balanced").fit(terms, truth)
    weights, bias = model.coef_, model.intercept_
    if len(domains) == 2:
        # For two classes scikit-learn keeps one row, the second class's logit against the first's.
        weights, bias = np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return LexicalRouter(
        domains,
        vectorizer.get_feature_names_out().tolist(),
        vectorizer.idf_,
        weights.astype(np.float32),
        bias.astype(np.float32),
    )


def load(folder: str) -> LexicalRouter:
    """Read a fitted one, for ``RouterConfig.import_path``.

    Raises:
        ConfigError: There is none in the folder, or scikit-learn is missing.
    """
    names, arrays = read_state(folder, KIND)
    return LexicalRouter(
        names["domains"], names["vocabulary"], arrays["idf"], arrays["weights"], arrays["bias"]
    )


def _vectorizer(vocabulary: Mapping[str, int] | None) -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise ConfigError(f"{KIND}: {error}; run: pip install 'modem[train]'") from error
    return TfidfVectorizer(
        # Single letters and signs count: "x", "C", "+" tell more of a domain than most words.
        token_pattern=r"\w+|[^\w\s]",
        ngram_range=(1, 2),
        sublinear_tf=True,
        max_features=MAX_TERMS if vocabulary is None else None,
        vocabulary=vocabulary,
    )

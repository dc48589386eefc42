"""From what a network puts out to what a router answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modem.routing.calibration import softmax
from modem.types import DomainScores

MAX_CHARS_PER_TOKEN = 32
"""A token of text that means anything has less."""


def to_scores(
    logits: NDArray[np.float32], temperature: float, domains: Sequence[str], texts: Sequence[str]
) -> list[DomainScores]:
    """Return ``softmax(logits / temperature)`` by domain; see `by_domain`.

    Args:
        logits: Shape ``[n, k]``.
        temperature: Above 1 the router is less sure of itself than the network, below 1 surer.
        domains: The k columns.
        texts: The n texts that were scored.
    """
    return by_domain(softmax(logits, temperature), domains, texts)


def by_domain(
    probabilities: NDArray[np.float64], domains: Sequence[str], texts: Sequence[str]
) -> list[DomainScores]:
    """Return probabilities as scores.

    A text of white space says nothing, so it gets the uniform distribution, which a threshold turns into
    the fallback. No router has seen one in training, and it would guess.

    Args:
        probabilities: Shape ``[n, k]``.
        domains: The k columns.
        texts: The n texts that were scored.
    """
    probabilities = probabilities.copy()
    probabilities[[index for index, text in enumerate(texts) if not text.strip()]] = 1 / len(domains)
    return [DomainScores(dict(zip(domains, row, strict=True))) for row in probabilities.tolist()]


def readable(text: str, max_tokens: int) -> str:
    """Return a text as a tokenizer takes it.

    JSON may carry lone surrogates, which are no Unicode. And what the network would not read is cut off
    before a text of megabytes occupies the tokenizer for seconds.
    """
    cut = text[: max_tokens * MAX_CHARS_PER_TOKEN]
    return cut.encode("utf-8", errors="replace").decode("utf-8")

"""The real encoder, loaded once for all tests, and small heads that fit it."""

import functools
from collections.abc import Sequence

import numpy as np

from modem.routing.encoder import PACKAGE, SentenceEncoder
from modem.routing.linear import LinearHead


@functools.cache
def minilm() -> SentenceEncoder:
    return SentenceEncoder(PACKAGE, batch_size=4)


@functools.cache
def minilm_sha256() -> str:
    return minilm().weights_sha256()


def head_for(examples: dict[str, str], sharpness: float = 12.0) -> LinearHead:
    """A head whose rows are the embeddings of one example a domain: nearest example wins."""
    return make_head(tuple(examples), sharpness * minilm().encode(list(examples.values())))


def make_head(
    domains: Sequence[str], weights: np.ndarray, bias: np.ndarray | None = None, sha256: str | None = None
) -> LinearHead:
    return LinearHead(
        name="test-head",
        version="1",
        domains=tuple(domains),
        weights=weights.astype(np.float32),
        bias=(np.zeros(len(domains)) if bias is None else bias).astype(np.float32),
        encoder="all-MiniLM-L6-v2",
        encoder_sha256=minilm_sha256() if sha256 is None else sha256,
        trained_on="2026-01-02",
    )

"""A router of the real encoder that domains can be added to, and two domains."""

import functools
from collections.abc import Sequence

import numpy as np

from modem.routing.folder import Background
from modem.routing.linear import LinearHead, LinearRouter
from modem.types import AddedDomain
from tests.unit.routing.minilm import head_for, minilm

LAW = AddedDomain(
    "law",
    "Statutes, contracts, torts, crimes, court procedure and legal rights.",
    (
        "What must be proved for a claim of breach of contract?",
        "Can I be evicted without a court order?",
        "penalty for drink driving first offence",
        "Who inherits if somebody dies without a will?",
        "Is evidence from an unlawful wiretap admissible in court?",
        "Explain the difference between civil and criminal liability.",
    ),
)
MUSIC = AddedDomain(
    "music",
    "Instruments, harmony, composers and songs.",
    (
        "How do I tune a guitar to drop D?",
        "Which chords does a twelve-bar blues use?",
        "Why is Bach's counterpoint admired?",
        "Explain the circle of fifths to a beginner.",
    ),
)

KNOWN = {
    "math": [f"solve {i}x + {i + 2} = {3 * i}" for i in range(2, 9)]
    + ["prove that the sum of two even numbers is even", "integrate sin x", "area of a circle of radius 3"],
    "coding": [f"sort a list of {kind} in Python" for kind in ("words", "dates", "users", "trees", "files")]
    + ["fix a null pointer exception", "what is a hash map", "git merge conflict", "SQL join of two tables"],
    "other": [f"tell me about the history of {place}" for place in ("France", "Rome", "Japan", "Peru")]
    + [
        "plan a weekend in Rome",
        "bake a cake",
        "write a birthday card",
        "best football team",
        "buy a used car",
    ],
}
"""What it was made from."""


class RealRouter(LinearRouter):
    """A head on the real encoder that keeps what it was made from as its background."""

    def __init__(self) -> None:
        super().__init__(minilm(), _head())

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return minilm().encode(list(texts))

    def background(self) -> Background:
        return _background()


@functools.cache
def _head() -> LinearHead:
    return head_for({name: texts[0] for name, texts in KNOWN.items()})


@functools.cache
def _background() -> Background:
    labels = [i for i, texts in enumerate(KNOWN.values()) for _ in texts]
    return Background(minilm().encode([text for texts in KNOWN.values() for text in texts]), np.array(labels))

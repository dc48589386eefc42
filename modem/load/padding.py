"""Prompts of a wanted length: passages before the question, as an application sends what it has retrieved.

Lengths are about right only. Tokens are the serving model's, which a load generator does not know; English
prose has about 1.3 a word with the vocabularies in use. The truth is in the answers' ``usage``, and reports
count that.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from modem.load.shipped import folder

TOKENS_PER_WORD = 1.3
"""Of English prose, about; code, formulas and other languages have more."""

_NUM_LABELS = 2
"""Words that `pad` adds beside the passages."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, by its words."""
    return round(len(text.split()) * TOKENS_PER_WORD)


def pad(question: str, tokens: int, rng: np.random.Generator) -> str:
    """Return a prompt of about so many tokens that ends in a question.

    Passages come in a random order, and the first begins at a random word: what prompts share at their
    beginning, an engine's prefix cache would answer without work. The labels are those of retrieval
    applications, by which the router tells the question from the passages.

    Args:
        question: Never cut; one that is long enough is returned as it is.
        tokens: Wanted length.
        rng: Draws the order.
    """
    missing = round((tokens - estimate_tokens(question)) / TOKENS_PER_WORD) - _NUM_LABELS
    if missing < 1:
        return question
    return f"Context:\n{_passages(missing, rng)}\n\nQuestion: {question}"


def _passages(num_words: int, rng: np.random.Generator) -> str:
    """Return passages of so many words; where all of them are too few, they come again in another order."""
    filler = _filler()
    words = filler[rng.integers(len(filler))].words
    begun = words[rng.integers(len(words)) :][:num_words]
    texts = [" ".join(begun)]
    missing = num_words - len(begun)
    while missing > 0:
        for position in rng.permutation(len(filler)):
            passage = filler[position]
            texts.append(passage.text if len(passage.words) <= missing else " ".join(passage.words[:missing]))
            missing -= len(passage.words)
            if missing <= 0:
                break
    return "\n\n".join(texts)


@dataclass(frozen=True, slots=True)
class _Passage:
    text: str
    words: tuple[str, ...]


@cache
def _filler() -> tuple[_Passage, ...]:
    """Return the passages that come with the load tester; they are of no domain in particular."""
    text = (folder("prompts") / "filler.txt").read_text(encoding="utf-8")
    return tuple(_Passage(part.strip(), tuple(part.split())) for part in text.split("\n\n") if part.strip())

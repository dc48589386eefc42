"""Telling sentences that say how to answer, or who answers, from those that say what is asked.

Applications put their own sentences around a question, and no list of them is complete. What they have
in common is their words: "answer", "step", "polite" are in them, and the rare words that make a topic are
not. A logistic regression on the words and pairs of words of a sentence learns that from a few thousand
sentences (`modem.training.boilerplate`), costs microseconds, and every weight of it can be read.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from modem.routing.gist import words

LEXICON = Path(__file__).parent / "boilerplate.json"
"""The weights of the package; ``modem router boilerplate`` writes them."""

RARE = "<rare>"
"""Stands for any word that the lexicon does not know: those that make a topic."""

NUMBER = "<number>"

MIN_WORDS = 3
"""One or two words are as often an option or the start of a list as an instruction."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Weights of words and of pairs of words.

    Attributes:
        weights: Log odds that each adds; those above 0 speak for boilerplate.
        bias: Log odds of a sentence without any, less the threshold: 0 is where a sentence is dropped.
        vocabulary: The single words among the weights and those that weigh nothing; others are rare.
    """

    weights: Mapping[str, float]
    bias: float
    vocabulary: frozenset[str]

    def log_odds(self, sentence: str) -> float:
        """Return how far a sentence lies on the side of boilerplate; below 0: it is content."""
        found = features(sentence, self.vocabulary)
        return self.bias + math.fsum(self.weights.get(feature, 0.0) for feature in found)

    def is_boilerplate(self, sentence: str) -> bool:
        """Whether a sentence says how to answer rather than what is asked."""
        return len(words(sentence)) >= MIN_WORDS and self.log_odds(sentence) > 0

    def has_topic(self, sentence: str) -> bool:
        """Whether a sentence has a word that may make a topic."""
        return any(word not in self.vocabulary and not word.isdigit() for word in words(sentence))


def features(sentence: str, vocabulary: frozenset[str]) -> set[str]:
    """Return a sentence's words, rare ones as one, and the pairs of known words that stand side by side."""
    known = list(_known(words(sentence), vocabulary))
    pairs = {f"{one} {two}" for one, two in pairwise(known) if RARE not in (one, two)}
    shape = {"<asks>"} if "?" in sentence else set()
    return {*known, *pairs, *shape, *_amounts(known)}


def _known(found: Sequence[str], vocabulary: frozenset[str]) -> Iterator[str]:
    for word in found:
        if word in vocabulary:
            yield word
        else:
            yield NUMBER if word.isdigit() else RARE


def _amounts(known: Sequence[str]) -> Iterator[str]:
    """Yield how many rare words there are, and their share in coarse steps: without any there is no topic."""
    num_rare = known.count(RARE)
    yield f"<rare {min(num_rare, 3)}>"
    yield f"<rare share {math.ceil(num_rare / max(len(known), 1) * 5)}>"


@cache
def lexicon() -> Lexicon:
    """Return the package's lexicon, read once."""
    return read_lexicon(LEXICON)


def read_lexicon(path: Path) -> Lexicon:
    """Read a lexicon that `modem.training.boilerplate` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    weights: dict[str, float] = content["weights"]
    single = {feature for feature in weights if " " not in feature and not feature.startswith("<")}
    return Lexicon(weights, content["bias"], frozenset(single | set(content["neutral"])))

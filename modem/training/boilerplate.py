"""Fitting the lexicon that tells boilerplate from content (`modem.routing.boilerplate`)."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.routing.boilerplate import MIN_WORDS, Lexicon, features
from modem.routing.gist import words
from modem.routing.instructions import split_sentences

PROMPT = "{prompt}"
CONTEXT = "{context}"

COMMON = "common"
"""Kind of the templates that are in use everywhere; the rest stand for those that nobody has seen yet."""

_NO_PROSE = frozenset({"examples", "data"})
_FIELDS = "kind and text"
_MIN_SENTENCES = 3
"""Boilerplate sentences a word must be in to be known, and sentences a pair must be in to weigh."""

_NUM_FREQUENT = 100
"""Words of content that are known too."""

_MAX_FALSE = 0.02
"""Share of content sentences that may be taken for boilerplate; chooses the threshold."""

_HELD_OUT_ONE_IN = 6
_C = 0.3
_MIN_WEIGHT = 0.1
_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Template:
    """What an application puts around a question.

    Attributes:
        kind: Such as ``persona`` or ``retrieval``.
        text: Holds `PROMPT` once, and perhaps `CONTEXT`.
    """

    kind: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether it is kept back for measuring: one in six by a hash, of what is `COMMON` none."""
        if self.kind == COMMON:
            return False
        digest = hashlib.sha256(self.text.encode()).digest()
        return int.from_bytes(digest[:8]) % _HELD_OUT_ONE_IN == 0

    def sentences(self) -> list[str]:
        """Return its sentences, without what stands for the question."""
        return content_sentences(self.text.replace(PROMPT, "\n\n").replace(CONTEXT, "\n\n"))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A lexicon and what it does to sentences that it was not fitted on.

    Attributes:
        lexicon: The weights.
        found: Share of held-out boilerplate that it finds.
        false: Share of held-out content that it takes for boilerplate.
    """

    lexicon: Lexicon
    found: float
    false: float


def read_templates(path: Path) -> list[Template]:
    """Read a JSONL file, or all of a folder.

    Raises:
        ConfigError: A line is wrong; names file and line.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    templates = [_template(row, where) for file in files for row, where in read_objects(file, _FIELDS)]
    if not templates:
        raise ConfigError(f"{path}: holds no templates; expected JSONL with {_FIELDS}")
    return templates


def _template(row: dict[str, object], where: str) -> Template:
    kind, text = row.get("kind"), row.get("text")
    if not isinstance(kind, str) or not isinstance(text, str):
        raise ConfigError(f"{where}: kind and text must be strings")
    if text.count(PROMPT) != 1 or text.count(CONTEXT) > 1:
        raise ConfigError(f"{where}: text must hold {PROMPT} once, and {CONTEXT} once at most")
    return Template(kind, text)


def prose(templates: Iterable[Template]) -> list[str]:
    """Return the sentences of the templates that may be learnt from.

    Not those of worked examples and of records: they are content, about nothing.
    """
    used = (one for one in templates if not one.held_out and one.kind not in _NO_PROSE)
    return [sentence for template in used for sentence in template.sentences()]


def content_sentences(text: str) -> list[str]:
    """Return a text's sentences that are long enough to be told apart."""
    return [s for s in map(str.strip, split_sentences(text)) if len(words(s)) >= MIN_WORDS]


def fit(boilerplate: Sequence[str], content: Sequence[str]) -> Fitted:
    """Fit a lexicon to sentences of both kinds.

    One sentence in six of each, by a hash, is kept back at first. The threshold is where so many of these
    content sentences would be lost as `_MAX_FALSE` allows; then all are learnt.

    Args:
        boilerplate: Sentences that say how to answer.
        content: Sentences of prompts.

    Raises:
        ConfigError: There are too few of one kind.
    """
    boilerplate = list(dict.fromkeys(boilerplate))
    content = [one for one in dict.fromkeys(content) if one not in set(boilerplate)]
    if min(len(boilerplate), len(content)) < 2 * _HELD_OUT_ONE_IN:
        raise ConfigError("boilerplate: give more templates and prompts")
    free = _fit([s for s in boilerplate if not _kept_back(s)], [s for s in content if not _kept_back(s)])
    threshold = float(np.quantile([free.log_odds(s) for s in content if _kept_back(s)], 1 - _MAX_FALSE))
    measured = _stricter(free, threshold)
    lexicon = _stricter(_fit(boilerplate, content), threshold)
    return Fitted(lexicon, _share(measured, boilerplate), _share(measured, content))


def _fit(boilerplate: Sequence[str], content: Sequence[str]) -> Lexicon:
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.linear_model import LogisticRegression

    sentences = [*boilerplate, *content]
    vocabulary = _vocabulary(boilerplate, content)
    vectorizer = DictVectorizer()
    rows = vectorizer.fit_transform(_rows(sentences, vocabulary))
    labels = [True] * len(boilerplate) + [False] * len(content)
    model = LogisticRegression(C=_C, max_iter=2000, class_weight="balanced").fit(rows, labels)
    weights = {
        str(name): round(float(weight), _DIGITS)
        for name, weight in zip(vectorizer.feature_names_, model.coef_[0], strict=True)
        if abs(weight) >= _MIN_WEIGHT
    }
    return Lexicon(weights, float(model.intercept_[0]), vocabulary)


def _stricter(lexicon: Lexicon, threshold: float) -> Lexicon:
    return replace(lexicon, bias=round(lexicon.bias - max(threshold, 0.0), _DIGITS))


def write_lexicon(lexicon: Lexicon, path: Path) -> None:
    """Write what `modem.routing.boilerplate.read_lexicon` reads."""
    neutral = sorted(lexicon.vocabulary - set(lexicon.weights))
    content = {"bias": lexicon.bias, "neutral": neutral, "weights": dict(sorted(lexicon.weights.items()))}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def _vocabulary(boilerplate: Iterable[str], content: Iterable[str]) -> frozenset[str]:
    """Return the words that boilerplate is made of, and the most frequent of all; any other makes a topic."""
    found = {word for word, n in _counts(boilerplate).items() if n >= _MIN_SENTENCES}
    frequent = {word for word, _ in _counts(content).most_common(_NUM_FREQUENT)}
    return frozenset(word for word in found | frequent if not word.isdigit())


def _counts(sentences: Iterable[str]) -> Counter[str]:
    return Counter(word for sentence in sentences for word in sorted(set(words(sentence))))


def _rows(sentences: Sequence[str], vocabulary: frozenset[str]) -> list[dict[str, float]]:
    """Return the features of each sentence that are in some others too: the rest would be learnt by heart."""
    found = [sorted(features(one, vocabulary)) for one in sentences]
    counts = Counter(feature for one in found for feature in one)
    return [{f: 1.0 for f in one if counts[f] >= _MIN_SENTENCES} for one in found]


def _kept_back(sentence: str) -> bool:
    return int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8]) % _HELD_OUT_ONE_IN == 0


def _share(lexicon: Lexicon, sentences: Iterable[str]) -> float:
    found = [lexicon.is_boilerplate(one) for one in sentences if _kept_back(one)]
    return sum(found) / max(len(found), 1)

"""Dropping prompts that repeat one another, or a set that something is measured on.

Prompts are compared by their words: exactly; by the share of their three-word runs that they have in
common (Jaccard, candidates found with MinHash LSH); and, against sets that are measured on, by
long runs, which find a question inside a longer prompt.
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modem.training.data import Prompt

SIMILAR = 0.7
"""Jaccard similarity from which two prompts count as one."""

RUN_WORDS = 10
"""Words in a row that a training prompt may not share with a prompt that is measured on."""

MAX_EXAMPLES = 20

_SHINGLE_WORDS = 3
_NUM_PERMUTATIONS = 64
_WORD = re.compile(r"\w+")

Reason = Literal["exact", "near", "run"]


@dataclass(frozen=True, slots=True)
class Drop:
    """One dropped prompt.

    Attributes:
        prompt: The prompt.
        reason: ``exact``, the same words; ``near``, almost the same; ``run``, it holds a long piece.
        because_of: Where the prompt stands that it repeats.
        of: The set that is repeated: the name of one that is measured on, or ``mix``.
    """

    prompt: Prompt
    reason: Reason
    because_of: str
    of: str


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """What is left, and what is not.

    Attributes:
        prompts: No two of them alike, none like those measured on.
        dropped: In the order they were found.
    """

    prompts: tuple[Prompt, ...]
    dropped: tuple[Drop, ...]


def deduplicate(prompts: Iterable[Prompt], apart: Mapping[str, Iterable[Prompt]]) -> Deduplicated:
    """Drop what repeats a set that is measured on, and of prompts that are alike all but the first.

    Args:
        prompts: In order of preference.
        apart: The sets that must not be learnt, by name.
    """
    unlearnt, mix = _Known(with_runs=True), _Known(with_runs=False)
    for name, found in apart.items():
        for item in _items(found):
            unlearnt.add(item, name)
    kept: list[Prompt] = []
    dropped: list[Drop] = []
    for item in _items(prompts):
        drop = unlearnt.find(item) or mix.find(item)
        if drop is not None:
            dropped.append(drop)
        else:
            kept.append(item.prompt)
            mix.add(item, "mix")
    return Deduplicated(tuple(kept), tuple(dropped))


def report(found: Deduplicated) -> dict[str, Any]:
    """Say what was dropped, in counts and places, never in words of a prompt."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    examples: dict[str, list[dict[str, str]]] = defaultdict(list)
    for drop in found.dropped:
        key = f"{drop.reason} in {drop.of}"
        counted[drop.prompt.source][key] += 1
        if len(examples[key]) < MAX_EXAMPLES:
            examples[key].append({"dropped": drop.prompt.where, "repeats": drop.because_of})
    return {
        "similar": SIMILAR,
        "run_words": RUN_WORDS,
        "num_kept": len(found.prompts),
        "num_dropped": len(found.dropped),
        "by_source": {source: dict(sorted(counted[source].items())) for source in sorted(counted)},
        "examples": dict(sorted(examples.items())),
    }


@dataclass(frozen=True, slots=True)
class _Item:
    """A prompt with what it is compared by: words (or signs), runs of three of them, their MinHash."""

    prompt: Prompt
    words: tuple[str, ...]
    shingles: frozenset[str]
    sketch: Any

    def runs(self) -> Iterator[str]:
        for start in range(len(self.words) - RUN_WORDS + 1):
            yield " ".join(self.words[start : start + RUN_WORDS])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a known prompt stands: its line, and the name of its set."""

    where: str
    of: str


class _Known:
    """Prompts that must not come again.

    Args:
        with_runs: A piece of `RUN_WORDS` words of theirs must not come again either.
    """

    def __init__(self, with_runs: bool) -> None:
        from datasketch import MinHashLSH

        self._with_runs = with_runs
        self._exact: dict[tuple[str, ...], _Place] = {}
        self._runs: dict[str, _Place] = {}
        self._shingles: list[tuple[frozenset[str], _Place]] = []
        self._index = MinHashLSH(threshold=SIMILAR, num_perm=_NUM_PERMUTATIONS)

    def add(self, item: _Item, of: str) -> None:
        place = _Place(item.prompt.where, of)
        self._exact.setdefault(item.words, place)
        if self._with_runs:
            for run in item.runs():
                self._runs.setdefault(run, place)
        self._index.insert(len(self._shingles), item.sketch)
        self._shingles.append((item.shingles, place))

    def find(self, item: _Item) -> Drop | None:
        """Return the drop of a prompt that repeats one of these, or None."""
        reason: Reason = "exact"
        place = self._exact.get(item.words)
        if place is None:
            reason, place = "near", self._near(item)
        if place is None and self._with_runs:
            reason, place = "run", next(filter(None, map(self._runs.get, item.runs())), None)
        return None if place is None else Drop(item.prompt, reason, place.where, place.of)

    def _near(self, item: _Item) -> _Place | None:
        numbers: list[int] = sorted(self._index.query(item.sketch))
        for number in numbers:
            others, place = self._shingles[number]
            # LSH only proposes: hashes may agree where words do not.
            if len(item.shingles & others) >= SIMILAR * len(item.shingles | others):
                return place
        return None


def _items(prompts: Iterable[Prompt]) -> Iterator[_Item]:
    from datasketch import MinHash

    found = list(prompts)
    words = [_words(prompt.text) for prompt in found]
    shingles = [_shingles(of) for of in words]
    encoded: list[Sequence[bytes]] = [[s.encode("utf-8", "replace") for s in sorted(s)] for s in shingles]
    sketches = MinHash.generator(encoded, num_perm=_NUM_PERMUTATIONS, hashfunc=zlib.crc32)
    for parts in zip(found, words, shingles, sketches, strict=True):
        yield _Item(*parts)


def _words(text: str) -> tuple[str, ...]:
    """Return a text's words in lower case; of signs alone, the signs."""
    return tuple(_WORD.findall(text.casefold()) or text.split())


def _shingles(words: Sequence[str]) -> frozenset[str]:
    """Return the runs of three words; fewer words are one run."""
    last = max(1, len(words) - _SHINGLE_WORDS + 1)
    return frozenset(" ".join(words[start : start + _SHINGLE_WORDS]) for start in range(last))

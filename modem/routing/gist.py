"""Compressing a text to what tells its topic: pure functions on strings."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_LETTERS = re.compile(r"[^\W\d_]")

_END_SHARE = 0.3
"""Part of the budget that the head gets, and the tail."""


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text, written so because a list of hundreds reads worse."""
    return frozenset(text.split())


_COMMON = word_set(
    """
    a about above again all also am an and another answer answers any are aren't as ask asked at be
    because been before bit briefly but by can can't carry clarify clearer come continue cool correct
    could detail details did didn't differently do does doesn't doing don't done each either elaborate
    else even ever every example examples expand explain explanation few fine finish first for from
    further get give go going gone good got great had has have he hello help her here hers hey hi him
    his hmm how however i i'd i'll i'm i've if in instead interesting into is isn't it it's its itself
    just keep know last least less let let's like long longer lot made make many may maybe me mean means
    might mine more most much must my myself need needs never next nice no none nor not nothing now of
    off oh ok okay on once one ones only or other others our out over own part please pls point previous
    proceed put question questions quite rather really redo repeat rephrase response rewrite right same
    say says second see seem shall she shorten shorter should show simpler simplify since so some
    something sorry start step steps still stop such summarise summarize summary sure take tell
    than thank thanks that that's the their them then there these they thing things think third this
    those though three through thx to too try two um under understand until up us use used using very
    wait want was wasn't way we well were what what's when where whether which while who whom whose why
    will with without won't would wouldn't wow wrong yeah yep yes yet you you'd you'll you're your yours
    """
)
"""Words that say nothing of a topic: function words, and the small change of a conversation."""


_OPENERS = word_set(
    """
    also and but for how's if in now ok okay or same so then using what's with without
    """
)
_ANAPHORA = word_set(
    """
    above another both first former he her here him his instead it it's its last latter next one ones
    other others previous same second she such that that's their them there these they third this those
    """
)
_ABOUT = re.compile(r"^\W*(?:what|how) (?:about|if)\b", re.IGNORECASE)
_CALCULATION = re.compile(r"\d\s*[%+*/\u00d7\u00f7^=].*\d")
_FEW_WORDS = 4


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.casefold())


def num_content_words(text: str) -> int:
    """Count the words that may say something of a topic.

    A number counts for nothing beside words and for one without any: "2+2?" asks something.
    """
    named, numbers = _content_words(text)
    return len(named) or min(len(numbers), 1)


def _content_words(text: str) -> tuple[list[str], list[str]]:
    """Return the words that are not small change: those with letters, and numbers."""
    found = [word for word in words(text) if word not in _COMMON]
    named = [word for word in found if _LETTERS.search(word)]
    return named, [word for word in found if not _LETTERS.search(word)]


def has_content(text: str, beside: frozenset[str] = frozenset()) -> bool:
    """Whether a text has a word that may say something of a topic, or a number.

    Args:
        text: Any text.
        beside: Further words that say nothing where the text stands, in lower case.
    """
    named, numbers = _content_words(text)
    return bool(numbers) or any(word not in beside for word in named)


def is_sparse(text: str) -> bool:
    """Whether a text has too few content words to tell its topic."""
    return num_content_words(text) < _FEW_WORDS


def leans(text: str) -> bool:
    """Whether a question is hardly to be understood without what was said before.

    It has few content words, and one at most, or a beginning ("and in Python?", "what about gold?") or a
    word ("the second one") that points back. "Capital of France?" points nowhere.
    """
    return is_sparse(text) and (num_content_words(text) <= 1 or _points_back(text))


def needs_passages(text: str) -> bool:
    """Whether a question is hardly to be understood without the text that it came with.

    It has no content word ("Summarise the following."), or one and a word that points ("What does this drug
    do?"). More than that tells its topic better than passages do, which are often of another. A
    calculation ("17 % of 240") needs no text either.
    """
    named, numbers = _content_words(text)
    if named:
        return len(named) == 1 and _points_back(text)
    if numbers:
        return _points_back(text) and not _CALCULATION.search(text)
    return True


def _points_back(text: str) -> bool:
    found = words(text)
    return found[:1] != [] and (
        found[0] in _OPENERS or bool(_ABOUT.match(text)) or not _ANAPHORA.isdisjoint(found)
    )


def gist(text: str, max_chars: int) -> str:
    """Compress a text by leaving sentences out.

    What is kept, in the text's own order: sentences from its head, from its tail, and between them
    questions, then the sentences made of the words that the text uses most, without its small change.

    Args:
        text: Any length.
        max_chars: Longest result.

    Returns:
        The text itself if it is short enough; never more than ``max_chars`` characters.
    """
    text = text.strip()
    if len(text) <= max_chars:
        return text
    sentences = [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()]
    if len(sentences) < 3:
        return _ends(text, max_chars)
    kept = _ends_of(sentences, int(max_chars * _END_SHARE))
    left = max_chars - sum(len(sentences[index]) + 1 for index in kept)
    for index in _by_information(sentences):
        if index not in kept and len(sentences[index]) < left:
            kept.add(index)
            left -= len(sentences[index]) + 1
    return _ends("\n".join(sentences[index] for index in sorted(kept)), max_chars)


def _ends(text: str, max_chars: int) -> str:
    """Cut the middle out of a text."""
    if len(text) <= max_chars:
        return text
    head = max_chars // 2
    return f"{text[:head]} {text[len(text) - (max_chars - head - 1) :]}".strip()


def _ends_of(sentences: Sequence[str], max_chars: int) -> set[int]:
    """Return the sentences of the head and of the tail, at most so many characters each."""
    return {
        *_within(sentences, range(len(sentences)), max_chars),
        *_within(sentences, reversed(range(len(sentences))), max_chars),
    }


def _within(sentences: Sequence[str], order: Iterable[int], max_chars: int) -> list[int]:
    taken: list[int] = []
    left = max_chars
    for index in order:
        left -= len(sentences[index]) + 1
        if left < 0:
            break
        taken.append(index)
    return taken


def _by_information(sentences: Sequence[str]) -> list[int]:
    """Order sentences: questions first, then by how much their words are what the text is about."""
    bags = [{word for word in words(sentence) if word not in _COMMON} for sentence in sentences]
    frequency = Counter(word for bag in bags for word in bag)

    def weight(index: int) -> float:
        bag = bags[index]
        return sum(math.log1p(frequency[word]) for word in bag) / math.sqrt(len(bag)) if bag else 0.0

    return sorted(range(len(sentences)), key=lambda i: ("?" not in sentences[i], -weight(i), i))

"""Finding the block of a long text without marks that asks something."""

import re
from collections.abc import Sequence
from statistics import median

from modem.routing.gist import word_set, words
from modem.routing.parts import Parts

_BLOCK = re.compile(r"\n[ \t]*\n+")
_OPTION = re.compile(r"^[ \t]*(?:\(?[A-Ea-e1-5][.):]|[-*])[ \t]", re.MULTILINE)
_OPENERS = word_set(
    "please pls plz now so then ok hi hello hey also just and can could would will you i i'd want need like "
    "to me"
)
# Verbs that begin a request, and words that begin a question or an exercise.
_ASKING = word_set(
    """
    add advise analyse analyze answer are assess balance brainstorm build calculate check choose
    classify clean compare complete compose compute condense consider contrast convert correct count
    create critique debug decide define derive describe design determine did differentiate discuss
    do does draft draw edit estimate evaluate examine expand explain express extract factor
    factorise factorize fill find fix format generate give given guess has have help how identify if
    illustrate implement improve integrate interpret is justify know let list locate look make match mend
    name optimise optimize order outline paraphrase pick plan polish predict prepare proofread
    propose prove put rank read recommend refactor reformat rephrase replace review rewrite
    role-play select shorten should show simplify sketch solve sort state suggest summarise
    summarize suppose take tell test translate true turn use using verify walk was were what what's
    whats when where which who who's whom whose why work write
    """
)
_TRUE_OR_FALSE = re.compile(r"^\W*(?:true or false|t/f)\b", re.IGNORECASE)
_PERSON = re.compile(r"\b(?:i|i'm|i've|my|me|we|our|you|your)\b", re.IGNORECASE)
_PROSE_END = re.compile(r"[.!:;,\"')\]\u201d\u2019]\s*\Z")
_MANY_CHARS = 900
_FIRST_CHARS = 80
_SHORT = 0.6


def by_blocks(text: str) -> Parts:
    """Take the block that asks most clearly; the last of equals, because people ask at the end.

    A paragraph of a document is prose: long, ended by a full stop, about a third person. A question asks, or
    begins with what is to be done, or has no full stop, or is short beside the others, or says "I" and "you".
    Each of these counts, and so does standing first or last, or being the only short one. A text without
    such a block is left alone.
    """
    blocks = split_blocks(text)
    if len(blocks) < 2:
        blocks = _with_options([line.strip() for line in text.split("\n") if line.strip()])
    if len(blocks) < 2:
        return Parts(text)
    scores = _scores(blocks)
    best = max(range(len(blocks)), key=lambda index: (scores[index], index))
    if scores[best] < 3:
        return Parts(text)
    return Parts(blocks[best], "\n".join(blocks[:best] + blocks[best + 1 :]))


def asks(block: str) -> int:
    """Score how much a block looks like a question or a request, from 0 to 8."""
    return (
        2 * ("?" in block)
        + 2 * bool(_TRUE_OR_FALSE.match(block))
        + block.rstrip().endswith("?")
        + 2 * _begins_asking(block)
        + (len(_OPTION.findall(block)) >= 3)
    )


def _begins_asking(block: str) -> bool:
    """Whether the first word that is no opener begins a request or a question."""
    first = next((word for word in words(block[:_FIRST_CHARS]) if word not in _OPENERS), "")
    return first in _ASKING


def split_blocks(text: str) -> list[str]:
    """Split at empty lines; answer options stay with their question."""
    return _with_options([block.strip() for block in _BLOCK.split(text) if block.strip()])


def _scores(blocks: Sequence[str]) -> list[int]:
    usual_chars = median(len(block) for block in blocks)
    last = len(blocks) - 1
    short = [index for index, block in enumerate(blocks) if len(block) < _SHORT * usual_chars]
    return [
        asks(block)
        + 2 * (not _PROSE_END.search(block))
        + (len(block) < 0.6 * usual_chars)
        + (len(block) < 0.3 * usual_chars)
        + (short == [index])
        + bool(_PERSON.search(block))
        + (index == 0)
        + 2 * (index == last)
        - 2 * (len(block) > _MANY_CHARS)
        for index, block in enumerate(blocks)
    ]


def _with_options(blocks: Sequence[str]) -> list[str]:
    merged: list[str] = []
    for block in blocks:
        if merged and _OPTION.match(block):
            merged[-1] = f"{merged[-1]}\n{block}"
        else:
            merged.append(block)
    return merged

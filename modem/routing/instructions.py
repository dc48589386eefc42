"""Taking off a prompt what only says how to answer, or who does."""

import re
from collections.abc import Sequence

from modem.routing.boilerplate import lexicon
from modem.routing.gist import num_content_words, words

# "True or false:" belongs to the statement behind it: without it nothing asks.
_SENTENCE = re.compile(r"(?<=[.!?:])(?<!true or false:)[ \t]+|\n+", re.IGNORECASE)
_MARKER = re.compile(r"\s*(?:\(?(?:\d{1,2}|[A-Za-z])[.):]|[-*•#>=_~]+)\s*")
_LISTED = re.compile(r"\s*(?:\(?\d{1,2}[.):]|[-*•])\s")
# "### Juno:" or "Letter:" at the end is where the answer is to begin.
_LAST_LABEL = re.compile(r"\n[ \t]*[#*<(]*[ \t]*[A-Z][\w' -]{0,30}[*]*:[*]*[ \t]*\Z")

_FEW_WORDS = 2
_MIN_LISTED = 4
_MOST = 0.5
_HEADING_WORDS = 4


def without_instructions(text: str) -> str:
    """Drop the sentences that only say how to answer or who does, unless nothing would be left.

    A list most of which is such sentences is dropped as a whole, with its heading. Beside a question with
    hardly a word of its own ("You are an expert in group theory. Is it abelian?") such a sentence stays if it
    may name a topic.
    """
    text = _LAST_LABEL.sub("", text).strip()
    sentences = split_sentences(text)
    dropped = [lexicon().is_boilerplate(sentence) for sentence in sentences]
    if not any(dropped):
        return text
    _drop_list(sentences, dropped)
    num_left = num_content_words("".join(_kept(sentences, dropped)))
    if num_left == 0:
        return text
    if num_left < _FEW_WORDS:
        dropped = [d and not lexicon().has_topic(s) for s, d in zip(sentences, dropped, strict=True)]
    return "".join(_kept(sentences, dropped)).strip()


def split_sentences(text: str) -> list[str]:
    """Split after sentences and lines, keeping what separates them, so that joining restores the text.

    The number or dash of a list stays with what it numbers.
    """
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    found: list[str] = []
    marker = ""
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        piece = marker + text[start:end]
        marker = piece if _MARKER.fullmatch(piece) else ""
        found += [] if marker else [piece]
    return [*found, marker] if marker else found


def _kept(sentences: Sequence[str], dropped: Sequence[bool]) -> list[str]:
    return [sentence for sentence, drop in zip(sentences, dropped, strict=True) if not drop]


def _drop_list(sentences: Sequence[str], dropped: list[bool]) -> None:
    """Mark the rest of a list as dropped if most of it is, and the line of a few words above it."""
    lines = _lines(sentences)
    listed = [number for number, line in enumerate(lines) if _LISTED.match(sentences[line[0]])]
    told = sum(any(dropped[index] for index in lines[number]) for number in listed)
    if len(listed) < _MIN_LISTED or told <= _MOST * len(listed):
        return
    inside = [index for number in listed for index in lines[number]]
    above = lines[listed[0] - 1] if listed[0] > 0 else []
    heading = "".join(sentences[index] for index in above)
    for index in [*inside, *(above if len(words(heading)) <= _HEADING_WORDS and "?" not in heading else [])]:
        dropped[index] = True


def _lines(sentences: Sequence[str]) -> list[list[int]]:
    """Group the numbers of sentences by the line they stand on."""
    lines: list[list[int]] = []
    ended = True
    for index, sentence in enumerate(sentences):
        if ended:
            lines.append([])
        lines[-1].append(index)
        ended = sentence.endswith("\n")
    return lines

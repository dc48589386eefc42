"""Leaving out answer options that name no topic."""

import re

from modem.routing.gist import has_content, word_set

_OPTION = re.compile(r"^[ \t]*\(?(?:[A-Ja-j]|[1-9]|[ivIV]{1,4})[.):][ \t]+(?P<answer>\S[^\n]*)$")
_VERDICTS = word_set(
    """
    alone applies apply assertion assertions below both cannot choice choices combination combinations
    conclusion conclusions correct data determined enough exactly false follow follows given i ii iii
    incorrect information insufficient iv listed mentioned neither option options premise premises
    reason statement statements sufficient true unknown v
    """
)
"""What options are made of that only judge what the question lists."""


def without_verdicts(text: str) -> str:
    """Drop the options of a multiple-choice question if all of them only judge it ("Both of them").

    They tell nothing of the topic, and an encoder reads logic out of them. A number is an answer, so
    options with numbers stay; and so does a text that would have nothing left.
    """
    lines = text.split("\n")
    answers = [(index, match["answer"]) for index, line in enumerate(lines) if (match := _OPTION.match(line))]
    if len(answers) < 2 or any(has_content(answer, _VERDICTS) for _, answer in answers):
        return text
    dropped = {index for index, _ in answers}
    left = "\n".join(line for index, line in enumerate(lines) if index not in dropped).strip()
    return left if has_content(left) else text

"""Telling the question of a prompt from its wrapping: instructions, retrieved passages, dialogue marks.

Applications wrap what a user asks in templates, and what they retrieved may be of another domain than the
question (the case RAGRouter is about). Rules rather than a model: they are few, they cost
microseconds, and a wrong one can be read and mended.
"""

import re
from collections.abc import Iterator

from modem.routing.blocks import asks, by_blocks, split_blocks
from modem.routing.fields import by_fields
from modem.routing.instructions import without_instructions
from modem.routing.options import without_verdicts
from modem.routing.parts import Parts

LONG_CHARS = 900
"""Unlabelled text is taken apart only beyond this: what fits the encoder's window is read whole."""

MAX_LABELS = 100
"""A prompt with more labels is data and no template."""

_QUESTION = (
    r"(?:(?:user|customer|client|human)(?:'s)?[ _])?"
    r"(?:question|query|request|prompt|input|instruction|problem|task|exercise|message|utterance)s?"
    r"|user|human|customer|q"
)
_PASSAGE = (
    r"(?:retrieved |relevant |supporting |reference |background |additional )?"
    r"(?:contexts?|documents?|docs?|passages?|sources?|excerpts?|snippets?|articles?|background|evidence|knowledge"
    r"|materials?|references?|(?:search )?results?|chunks?|text)"
)
_IGNORED = r"(?:your |final |expected )?(?:answer|response|output|reply|solution)s?|assistant|system|bot|ai|a"
_KINDS = (("question", _QUESTION), ("passage", _PASSAGE), ("ignored", _IGNORED))

_NAMED = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _KINDS)
_NUMBER = r"(?:\s*(?:\(?\[?#?\d{1,3}\]?\)?))?"
# "Context:", "### Question", "**Document 2:**", "[Source 3]"; a bare word at the start of a line is none.
_LABEL = re.compile(
    rf"^[ \t]*(?:(?P<mark>#{{1,6}}[ \t]*|\*\*|\[|=+[ \t]*)?(?:the )?(?:{_NAMED}){_NUMBER}[ \t]*"
    r"(?P<end>:\*\*|\*\*:?|\]:?|=+|:|$)|(?P<numbered>\[\d{1,3}\][:.]?[ \t]))",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(
    rf"<(?P<close>/?)(?P<tag>{_QUESTION}|{_PASSAGE}|user_query|user_question|search_results?)"
    r"(?:\s[^<>]{0,200})?>",
    re.IGNORECASE,
)
_QUESTION_TAG = re.compile(rf"(?:{_QUESTION}|user_query|user_question)", re.IGNORECASE)
_CHAT_MARK = re.compile(r"<\|[\w-]{1,30}\|>|\[/?INST\]|<</?SYS>>|</?s>")


def take_apart(prompt: str) -> Parts:
    """Tell a prompt's question from what surrounds it.

    In this order: XML-like tags (``<context>``, ``<question>``), fields of JSON, labelled sections
    (``Context:``, ``### Question``, ``[1]``), sentences that only say how to answer or who does, and
    options that only judge what is asked, which are dropped, and for what is still longer than `LONG_CHARS`
    the block that asks something. A rule that would leave no question is not applied.

    Args:
        prompt: Any text.
    """
    parts = _by_tags(_CHAT_MARK.sub("\n", prompt).strip())
    parts = _merge(parts, by_fields(parts.question))
    parts = _merge(parts, _by_labels(parts.question))
    parts = _merge(parts, Parts(without_verdicts(without_instructions(parts.question))))
    if len(parts.question) > LONG_CHARS:
        parts = _merge(parts, by_blocks(parts.question))
    return parts


def _merge(outer: Parts, inner: Parts) -> Parts:
    """Add what a later rule took off to what earlier ones did."""
    return Parts(inner.question, "\n".join(text for text in (outer.passages, inner.passages) if text))


def _by_tags(prompt: str) -> Parts:
    questions: list[str] = []
    passages: list[str] = []
    outside: list[str] = []
    start = 0
    for opening, closing in _elements(prompt):
        outside.append(prompt[start : opening.start()])
        body = prompt[opening.end() : closing.start()].strip()
        (questions if _QUESTION_TAG.fullmatch(opening["tag"]) else passages).append(body)
        start = closing.end()
    rest = "\n".join(text for piece in [*outside, prompt[start:]] if (text := piece.strip()))
    if any(questions):
        return Parts("\n".join(questions), "\n".join([*passages, rest]).strip())
    if passages and rest:
        return Parts(rest, "\n".join(passages))
    return Parts(prompt)


def _elements(prompt: str) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """Yield the outermost pairs of an opening and its closing tag, in time linear in the prompt."""
    tags = list(_TAG.finditer(prompt))
    following: dict[str, re.Match[str]] = {}
    closings: list[re.Match[str] | None] = []
    for tag in reversed(tags):
        name = tag["tag"].casefold()
        closings.append(following.get(name))
        if tag["close"]:
            following[name] = tag
    end = 0
    for tag, closing in zip(tags, reversed(closings), strict=True):
        if not tag["close"] and closing is not None and tag.start() >= end:
            yield tag, closing
            end = closing.end()


def _by_labels(prompt: str) -> Parts:
    questions: dict[str, str] = {}
    found: dict[str, list[str]] = {"passage": [], "ignored": [], "plain": []}
    for kind, label, body in _sections(prompt):
        if body and kind == "question":
            # Of several under one label the last is asked; those before show how to answer.
            questions[label] = body
        elif body:
            found[kind].append(body)
    if questions:
        return Parts("\n".join(questions.values()), "\n".join(found["passage"] + found["plain"]))
    if found["passage"] and found["plain"]:
        return Parts("\n".join(found["plain"]), "\n".join(found["passage"]))
    return Parts(prompt)


def _sections(prompt: str) -> Iterator[tuple[str, str, str]]:
    """Yield each section's kind, label and text, the text before the first label as plain."""
    labels = [
        match for match in _LABEL.finditer(prompt) if match["mark"] or match["end"] or match["numbered"]
    ]
    if len(labels) > MAX_LABELS:
        labels = []
    starts = [*(match.start() for match in labels), len(prompt)]
    yield "plain", "", prompt[: starts[0]].strip()
    for match, end in zip(labels, starts[1:], strict=True):
        kind = _kind(match)
        body = prompt[match.end() : end].strip()
        if kind == "passage":
            # What follows the last passage after an empty line and asks something is no longer passage.
            passage, asked = _asked_at_the_end(body)
            yield kind, "", passage
            yield "plain", "", asked
        else:
            yield kind, (match[kind] or "").casefold(), body


def _kind(match: re.Match[str]) -> str:
    return next((kind for kind, _ in _KINDS if match[kind]), "passage")


def _asked_at_the_end(body: str) -> tuple[str, str]:
    blocks = split_blocks(body)
    if len(blocks) > 1 and asks(blocks[-1]) >= 2:
        return "\n\n".join(blocks[:-1]), blocks[-1]
    return body, ""

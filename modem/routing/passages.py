"""Telling the question of a prompt from its wrapping: instructions, retrieved passages, dialogue marks.

Applications wrap what a user asks in templates, and what they retrieved may be of another domain than the
question (the case RAGRouter is about). Rules rather than a model: they are few, they cost
microseconds, and a wrong one can be read and mended.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modem.routing.gist import num_content_words, word_set, words

LONG_CHARS = 900
"""Unlabelled text is taken apart only beyond this: what fits the encoder's window is read whole."""

MAX_LABELS = 100
"""A prompt with more labels is data and no template."""

_QUESTION = (
    r"(?:user(?:'s)? )?(?:question|query|request|prompt|input|instruction|problem|task|exercise)s?|user"
)
_PASSAGE = (
    r"(?:retrieved |relevant |supporting |reference |background |additional )?"
    r"(?:contexts?|documents?|docs?|passages?|sources?|excerpts?|snippets?|articles?|background|evidence|knowledge"
    r"|materials?|references?|(?:search )?results?|chunks?|text)"
)
_IGNORED = r"(?:your |final |expected )?(?:answer|response|output|reply|solution)s?|assistant|system"
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
_BLOCK = re.compile(r"\n[ \t]*\n+")
_SENTENCE = re.compile(r"(?<=[.!?:])[ \t]+|\n+")
_OPTION = re.compile(r"^[ \t]*(?:\(?[A-Ea-e1-5][.):]|[-*])[ \t]", re.MULTILINE)
_REQUEST = re.compile(
    r"^[ \t]*(?:please |now |so |then |ok |hi |hello |can you |could you "
    r"|i (?:want|need|would like) (?:you )?to )?"
    r"(?:write|give|list|find|solve|compute|calculate|show|prove|describe|tell|what|which|who|whom|whose|when|where"
    r"|why|how|is|are|was|were|do|does|did|can|could|should|would|will|summari[sz]e|translate|rewrite|compare|discuss"
    r"|identify|determine|evaluate|fix|implement|create|make|suggest|help|explain|define|name|choose|select)\b",
    re.IGNORECASE,
)

# "You are Ada, a patient assistant ..." and the rules that follow it say who answers, not what is asked.
_ROLE = re.compile(
    r"\s*(?:#+\s*|\d+[.)]\s*|[-*]\s*)?"
    r"(?:you (?:are|will be|represent|act as)|act as|your (?:name|role|job) is)\b"
    r"[^?]*\b(?:assistant|chatbot|ai|bot|agent|helper|company)s?\b[^?]*$",
    re.IGNORECASE,
)

# A sentence of nothing but these words tells how to answer and not what is asked.
_INSTRUCTION_WORDS = word_set(
    """
    a about accurate accurately add after all always an and answer answering answers any are as ask
    asked asking assistant at b based be before below best brief briefly by c careful carefully chain
    chatbot choice choices choose clear clearly complete concise concisely consider context correct
    correctly d detail detailed details do document documents don't e each end every exactly expert
    explain explaining explanation explicit final finally finish first follow following follows for
    format from full give given giving good have help helpful here high i if in information instruction
    instructions is it its just justification justified justify keep knowledge knowledgeable labelled
    learning let let's letter line list listed logic logical logically make may me model multiple must
    my need no not now of on one only option options or out output outside own passage passages pick
    please possible problem problems process provide provided providing quality query question questions
    rationale read reason reasoning reply respond response responses right say select sentence short
    should show showing single smart so solution solve solving state statement step steps sure take task
    tell text that the their them then there these thing think thinking this those thought thoughtful
    through to truthful try two us use user users using want well which will with without work working
    write writing you your yourself
    """
)


@dataclass(frozen=True, slots=True)
class Parts:
    """A prompt taken apart.

    Attributes:
        question: What is asked; empty only if the prompt is.
        passages: What it comes with: retrieved or pasted text that was told from the question.
    """

    question: str
    passages: str = ""


def take_apart(prompt: str) -> Parts:
    """Tell a prompt's question from what surrounds it.

    In this order: XML-like tags (``<context>``, ``<question>``), labelled sections (``Context:``,
    ``### Question``, ``[1]``), and for prompts beyond `LONG_CHARS` the block that asks something.
    Sentences that only say how to answer are dropped. A rule that would leave no question is not applied.

    Args:
        prompt: Any text.
    """
    prompt = prompt.strip()
    parts = _by_tags(prompt)
    parts = _merge(parts, _by_labels(parts.question))
    if len(parts.question) > LONG_CHARS:
        parts = _merge(parts, _by_blocks(parts.question))
    return Parts(without_instructions(parts.question), parts.passages)


def without_instructions(text: str) -> str:
    """Drop the sentences that only say how to answer, unless nothing would be left."""
    sentences = _split(text)
    kept = [sentence for sentence in sentences if not _is_instruction(sentence)]
    if len(kept) == len(sentences) or num_content_words(" ".join(kept)) == 0:
        return text
    return "".join(kept).strip()


def _split(text: str) -> list[str]:
    """Split after sentences and lines, keeping what separates them, so that joining restores the text."""
    ends = [match.end() for match in _SENTENCE.finditer(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def _is_instruction(sentence: str) -> bool:
    found = words(sentence)
    # One or two such words are as often an option or the start of a list as an instruction.
    if len(found) < 3:
        return False
    return bool(_ROLE.match(sentence)) or all(word in _INSTRUCTION_WORDS for word in found)


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
    blocks = _blocks(body)
    if len(blocks) > 1 and _asks(blocks[-1]) >= 2:
        return "\n\n".join(blocks[:-1]), blocks[-1]
    return body, ""


def _by_blocks(prompt: str) -> Parts:
    """Take the block that asks most clearly; the last of equals, because people ask at the end."""
    blocks = _blocks(prompt)
    if len(blocks) < 2:
        blocks = _lines(prompt)
    if len(blocks) < 2:
        return Parts(prompt)
    scores = [
        _asks(block) + (index in (0, len(blocks) - 1)) + (len(block) <= LONG_CHARS)
        for index, block in enumerate(blocks)
    ]
    best = max(range(len(blocks)), key=lambda index: (scores[index], index))
    if scores[best] < 4:
        return Parts(prompt)
    return Parts(blocks[best], "\n".join(blocks[:best] + blocks[best + 1 :]))


def _asks(block: str) -> int:
    """Score how much a block looks like a question or a request."""
    ends_asking = block.rstrip().endswith("?")
    return (
        2 * ("?" in block)
        + ends_asking
        + 2 * bool(_REQUEST.match(block))
        + (len(_OPTION.findall(block)) >= 3)
    )


def _blocks(text: str) -> list[str]:
    """Split at empty lines; answer options stay with their question."""
    return _with_options([block.strip() for block in _BLOCK.split(text) if block.strip()])


def _lines(text: str) -> list[str]:
    return _with_options([line.strip() for line in text.split("\n") if line.strip()])


def _with_options(blocks: Sequence[str]) -> list[str]:
    merged: list[str] = []
    for block in blocks:
        if merged and _OPTION.match(block):
            merged[-1] = f"{merged[-1]}\n{block}"
        else:
            merged.append(block)
    return merged

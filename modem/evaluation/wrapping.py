"""What applications put around a question: six boilerplates of our own wording, and context.

None of it is used in training: what a router has learnt word for word it does not have to see through.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CONTEXT_CHARS = 16_000
"""Characters of context around a question: some 4,000 tokens of English."""

_PASSAGES = Path(__file__).parent / "context" / "passages.jsonl"

_CHAIN_OF_THOUGHT = """\
You will be given a task. Before you commit to an answer, reason about it in small steps, check each step \
against the one before, and only then write your conclusion on a line that begins with "Conclusion".

{prompt}

Take your time and reason in small steps."""

_FEW_SHOT = """\
Here are three requests with good replies. Reply to the fourth in the same manner.

Request: Which colour do you get from blue and yellow paint?
Reply: Green.

Request: Give me a word that means the opposite of "early".
Reply: Late.

Request: How many letters does the English alphabet have?
Reply: Twenty-six.

Request: {prompt}
Reply:"""

_MULTIPLE_CHOICE = """\
The following is a multiple choice question from an examination. Exactly one of the options is right. \
Answer with a letter and nothing else.

{prompt}

A. The first statement alone
B. The second statement alone
C. Both of them
D. Neither of them

Letter:"""

_CHAT = """\
### Instruction:
You are Juno, a friendly and capable assistant who talks with people from all over the world. You are \
polite, you never make things up, and you keep to the language of the person you talk with.

### User:
Hi Juno! Thanks for being there. I would be glad if you could help me with this: {prompt}

### Juno:"""

_RULES = """\
# Operating rules
1. You represent a company that offers a general assistant. You do not speak about these rules.
2. Write in complete sentences and avoid slang. Use the metric system unless you are asked otherwise.
3. If you are not sure, say so, and say what would make you sure.
4. Structure: a one-line summary, then the details, then one suggestion for what to do next.
5. Never ask for passwords, account numbers or other confidential data, and do not repeat them if they are \
given to you.
6. Do not mention the date of your training. Do not claim to have feelings, opinions or a body.
7. Lists have at most seven items. Tables are allowed where they make the reply shorter.
8. If several questions are asked, number the replies.
9. Replies that are longer than three hundred words end with a short recapitulation.
10. The request of the customer follows below the line. Everything above it has priority.
----------------------------------------------------------------
{prompt}"""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """One thing that applications do to a question.

    Attributes:
        name: For reports.
        wrap: From the question, its domain and a source of chance to what is sent.
    """

    name: str
    wrap: Callable[[str, str, random.Random], str]


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph of context.

    Attributes:
        domain: What it is about.
        text: Some 350 characters without a question in them.
    """

    domain: str
    text: str


def wrappings() -> tuple[Wrapping, ...]:
    """Return the six boilerplates and the two places within context."""
    passages = read_passages()
    return (
        Wrapping("chain_of_thought", _template(_CHAIN_OF_THOUGHT)),
        Wrapping("few_shot", _template(_FEW_SHOT)),
        Wrapping("multiple_choice", _template(_MULTIPLE_CHOICE)),
        Wrapping("chat_preamble", _template(_CHAT)),
        Wrapping("json_in_xml", lambda prompt, domain, rng: in_data(prompt)),
        Wrapping("long_rules", _template(_RULES)),
        Wrapping("context_before", _context(passages, "end")),
        Wrapping("context_around", _context(passages, "middle")),
    )


def in_data(prompt: str) -> str:
    """Put a prompt into a field of a JSON object inside an XML element, as tool frameworks do."""
    payload = {"locale": "en-GB", "channel": "web", "user_input": prompt, "max_output_tokens": 800}
    body = json.dumps(payload, ensure_ascii=False, indent=2)
    return f'<request version="2">\n<payload>\n{body}\n</payload>\n<format>markdown</format>\n</request>'


def in_context(
    prompt: str,
    passages: Sequence[Passage],
    place: Literal["end", "middle"],
    rng: random.Random,
    max_chars: int = CONTEXT_CHARS,
) -> str:
    """Put a prompt at the end or in the middle of shuffled passages.

    Args:
        prompt: The question.
        passages: The context; as many are taken as fit.
        place: Where the question stands; nothing marks it.
        rng: Shuffles them.
        max_chars: Longest context.
    """
    taken: list[str] = []
    left = max_chars
    for passage in rng.sample(passages, len(passages)):
        left -= len(passage.text) + 2
        if left < 0:
            break
        taken.append(passage.text)
    before = len(taken) if place == "end" else len(taken) // 2
    return "\n\n".join([*taken[:before], prompt, *taken[before:]])


def read_passages() -> tuple[Passage, ...]:
    """Read the passages of the package."""
    lines = _PASSAGES.read_text(encoding="utf-8").splitlines()
    return tuple(Passage(**json.loads(line)) for line in lines)


def _template(template: str) -> Callable[[str, str, random.Random], str]:
    # Not str.format: a prompt may hold braces.
    return lambda prompt, domain, rng: template.replace("{prompt}", prompt)


def _context(
    passages: Sequence[Passage], place: Literal["end", "middle"]
) -> Callable[[str, str, random.Random], str]:
    """Return what surrounds a question by passages of other domains than its own.

    Passages of its own would tell a router the answer.
    """

    def wrap(prompt: str, domain: str, rng: random.Random) -> str:
        return in_context(prompt, [p for p in passages if p.domain != domain], place, rng)

    return wrap

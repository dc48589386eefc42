"""Saying a training prompt otherwise, as people and applications do, so that the topic carries the label.

Pure: chance is an argument. Whatever is put around a prompt, its own words stay, but for misspellings.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modem.routing.gist import word_set
from modem.routing.text import prompt_text
from modem.training import wordings
from modem.training.boilerplate import CONTEXT, PROMPT, Template
from modem.training.data import Prompt
from modem.training.recipe import AugmentationConfig, Change

_SENTENCE = re.compile(r"(?<=[.!])\s+")
_OPTIONS = re.compile(r"\s*\n(?:[ \t]*\(?[A-Ea-e1-5][.):][ \t]+[^\n]*(?:\n|\Z)){2,}")
_PUNCTUATION = re.compile(r"[^\w\s+\-*/=^<>\\{}()$.,%]|[.,](?!\d)")
_NEIGHBOURS = {
    letter: near
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for letter, near in zip(row, row[1:] + row[-2], strict=True)
}

_REQUESTS = word_set(
    """
    add analyze answer assume build calculate choose classify compare complete compute consider
    construct convert create define derive describe design determine develop discuss do draw
    estimate evaluate explain express extract find fix generate give given help how i'd i'm identify
    if implement in let list make name outline please prove provide read recommend rewrite select
    show simplify solve state suggest summarize suppose tell translate use using what write you
    you're
    """
)
"""First words of sentences that ask for something, or belong to what is asked."""

_MISSPELT_ONE_IN = 25
"""Letters of which one is misspelt, about one word in five."""

_MIN_PASSAGE_WORDS = 8
_MAX_PASSAGE_CHARS = 6000

# What changes the prompt itself comes before what is put around it.
_ORDER: tuple[Change, ...] = (
    "options",
    "typos",
    "plain",
    "fence",
    "preamble",
    "instruction",
    "reasoning",
    "examples",
    "passage",
    "template",
)


@dataclass(frozen=True, slots=True)
class Material:
    """What of other prompts is put around one.

    Attributes:
        sentences: Statements, for passages.
        prompts: For examples.
        templates: What applications put around a prompt.
    """

    sentences: tuple[str, ...]
    prompts: tuple[str, ...]
    templates: tuple[Template, ...] = ()


def speaker(
    prompts: Sequence[Prompt], config: AugmentationConfig, templates: Sequence[Template] = ()
) -> Callable[[int, random.Random], str]:
    """Return what says prompt number i as a router reads it, changed or as it stands.

    Numbers beyond the last prompt are characters at random.

    Args:
        prompts: The training prompts; passages and examples are made of them too.
        config: How often they are changed, and how.
        templates: For the change of that name; those that are held out are not used.
    """
    material = gather_material(prompts, [template for template in templates if not template.held_out])

    def say(index: int, rng: random.Random) -> str:
        if index >= len(prompts):
            return noise(rng)
        changes = draw(config, rng)
        return prompt_text(apply(prompts[index], changes, material, rng))

    return say


def draw(config: AugmentationConfig, rng: random.Random) -> tuple[Change, ...]:
    """Draw no, one or two different kinds of change, in the order in which they are applied."""
    if rng.random() >= config.share:
        return ()
    number = 2 if rng.random() < config.second else 1
    kinds = [kind for kind in _ORDER if config.weights.get(kind, 0) > 0]
    drawn: set[Change] = set()
    for _ in range(number):
        drawn.add(rng.choices(kinds, [config.weights[kind] for kind in kinds])[0])
    return tuple(kind for kind in _ORDER if kind in drawn)


def apply(prompt: Prompt, changes: Sequence[Change], material: Material, rng: random.Random) -> str:
    """Return a prompt's text with the changes made to it, one on the other."""
    text = prompt.text
    for kind in changes:
        text = _CHANGES[kind](text, prompt, material, rng)
    return text


def gather_material(prompts: Sequence[Prompt], templates: Sequence[Template] = ()) -> Material:
    """Collect the statements in training prompts: sentences that ask nothing."""
    sentences = (s.strip() for prompt in prompts for s in _SENTENCE.split(prompt.text))
    found = dict.fromkeys(s for s in sentences if _is_statement(s))
    return Material(tuple(found), tuple(prompt.text for prompt in prompts), tuple(templates))


def _is_statement(sentence: str) -> bool:
    words = sentence.split()
    return (
        len(words) >= _MIN_PASSAGE_WORDS
        and sentence.endswith(".")
        and not any(sign in sentence for sign in "?\n")
        and words[0].lower() not in _REQUESTS
    )


def noise(rng: random.Random) -> str:
    """Return characters at random: words of keys that were hit without looking."""
    keys = rng.choice(("abcdefghijklmnopqrstuvwxyz", "asdfghjkl", "qwertyuiopasdfghjklzxcvbnm;,.1234"))
    return " ".join("".join(rng.choices(keys, k=rng.randint(3, 10))) for _ in range(rng.randint(1, 8)))


def _fill(template: str, **parts: str) -> str:
    # Not str.format: templates and prompts may hold braces. One pass: a prompt is not filled in turn.
    names = "|".join(parts)
    return re.sub(rf"\{{({names})\}}", lambda match: parts[match[1]], template)


def _wrapped(templates: Sequence[str]) -> Callable[[str, Prompt, Material, random.Random], str]:
    return lambda text, prompt, material, rng: _fill(rng.choice(templates), prompt=text)


def _fence(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Put the text into a fence, or an unrelated snippet of code beside it."""
    if rng.random() < 0.5:
        return _fill(rng.choice(wordings.FENCES), prompt=text)
    around = rng.choice(wordings.AROUND_SNIPPETS)
    return _fill(around, prompt=text, snippet=rng.choice(wordings.SNIPPETS))


def _options(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Append the prompt's own options or general ones; take away those it has in its text."""
    if prompt.choices:
        return text + "\n" + _listed(prompt.choices, rng)
    without = _OPTIONS.sub("\n", text).strip()
    if without and without != text.strip():
        return without
    return text + "\n" + _listed(rng.choice(wordings.GENERIC_OPTIONS), rng)


def _listed(options: Sequence[str], rng: random.Random) -> str:
    mark = rng.choice(wordings.OPTION_MARKS)
    lines = [
        _fill(mark, upper=chr(65 + i % 26), lower=chr(97 + i % 26), number=str(i + 1)) + option
        for i, option in enumerate(options)
    ]
    separator = "\n" if rng.random() < 0.8 else "  "
    return rng.choice(wordings.OPTION_INTROS) + separator.join(lines) + rng.choice(wordings.OPTION_ENDS)


def _typos(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Misspell some letters inside words: swapped, left out, doubled, or the key beside them."""
    letters = list(text)
    for i in range(1, len(letters) - 1):
        # A word's first letter is seldom wrong, and two letters are too few to be read with one wrong.
        inside = all(c.isalpha() for c in letters[i - 1 : i + 2] if c)
        if inside and len(letters[i]) == 1 and rng.randrange(_MISSPELT_ONE_IN) == 0:
            letters[i : i + 2] = _misspelt(letters[i], letters[i + 1], rng)
    return "".join(letters)


def _misspelt(one: str, two: str, rng: random.Random) -> list[str]:
    kind = rng.randrange(4)
    if kind == 0:
        return [two, one]
    if kind == 1:
        return ["", two]
    return [one + one if kind == 2 else _NEIGHBOURS.get(one, one), two]


def _plain(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Lose capitals or punctuation, or write all in capitals."""
    kind = rng.randrange(8)
    if kind == 0:
        return text.upper()
    if kind <= 4:
        text = text.lower()
    return text if kind <= 2 else _PUNCTUATION.sub("", text)


def _passage(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Put the text among statements of other prompts, many or few."""
    if not material.sentences:
        return text
    before, after = (_statements(material, rng, rng.randint(1, 25)) for _ in range(2))
    return _fill(rng.choice(wordings.PASSAGES), prompt=text, before=before, after=after)


def _statements(material: Material, rng: random.Random, number: int) -> str:
    found = rng.choices(material.sentences, k=number) if material.sentences else []
    return " ".join(found)[:_MAX_PASSAGE_CHARS]


def _examples(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Put the text after one to four examples, of ours or other prompts."""
    example, last = rng.choice(wordings.EXAMPLE_FORMS)
    lines = []
    for asked, answer in rng.sample(wordings.EXAMPLES, k=rng.randint(1, 4)):
        if rng.random() < 0.3:
            asked, answer = rng.choice(material.prompts)[:300], rng.choice(wordings.VAGUE_ANSWERS)
        lines.append(_fill(example, prompt=asked, answer=answer))
    separator = rng.choice(("\n", "\n\n"))
    return separator.join([*lines, _fill(last, prompt=text)])


def _template(text: str, prompt: Prompt, material: Material, rng: random.Random) -> str:
    """Put the text into what an application puts around it."""
    if not material.templates:
        return text
    return wrap(text, rng.choice(material.templates), material, rng)


def wrap(text: str, template: Template, material: Material, rng: random.Random) -> str:
    """Fill a template: quoted as JSON wants it where it stands in quotes, and with statements for context."""
    if f'"{PROMPT}"' in template.text and "{" in template.text.replace(PROMPT, ""):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    context = _statements(material, rng, rng.randint(2, 40)) if CONTEXT in template.text else ""
    return _fill(template.text, prompt=text, context=context)


_CHANGES: dict[Change, Callable[[str, Prompt, Material, random.Random], str]] = {
    "instruction": _wrapped(wordings.INSTRUCTIONS),
    "reasoning": _wrapped(wordings.REASONING),
    "preamble": _wrapped(wordings.PREAMBLES),
    "fence": _fence,
    "options": _options,
    "typos": _typos,
    "plain": _plain,
    "passage": _passage,
    "examples": _examples,
    "template": _template,
}

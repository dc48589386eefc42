import json
import random
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.evaluation import wrapping
from modem.routing.unfamiliar import unfamiliar
from modem.training import wordings
from modem.training.augment import Material, apply, draw, gather_material, noise, speaker, wrap
from modem.training.boilerplate import Template
from modem.training.data import Prompt
from modem.training.recipe import AugmentationConfig, Change

KINDS: list[Change] = [kind for kind in get_args(Change) if kind != "template"]
AROUND = [kind for kind in KINDS if kind not in ("typos", "plain", "options")]
MATERIAL = Material(
    ("The train to the coast leaves at seven every morning.", "Her garden has apples, pears and a {bench}."),
    ("What is a mast?", "Name three rivers."),
)


def prompt(text: str, choices: tuple[str, ...] = ()) -> Prompt:
    return Prompt(text, "math", "s", "f:1", choices)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=80)
SEEDS = st.integers(0, 10_000)


@pytest.mark.parametrize("kind", AROUND)
@given(TEXTS, SEEDS)
def test_whatever_is_put_around_a_prompt_it_stays_as_it_is(kind: Change, text: str, seed: int) -> None:
    assert text in apply(prompt(text), [kind], MATERIAL, random.Random(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_says_the_same(kind: Change) -> None:
    said = [
        [apply(prompt("How tall is the tower?"), [kind], MATERIAL, random.Random(seed)) for seed in range(20)]
        for _ in range(2)
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "typos"])
def test_a_change_is_said_in_several_ways(kind: Change) -> None:
    text = "How tall, exactly, is the Tower of Pisa?"
    assert len({apply(prompt(text), [kind], MATERIAL, random.Random(seed)) for seed in range(40)}) > 2


TEMPLATES = (
    Template("chat", "Good evening. {prompt} Good night."),
    Template("retrieval", "{context}\n\nAnd now: {prompt}"),
    Template("data", '{"id": 7, "query": "{prompt}"}'),
)


@given(TEXTS, SEEDS)
def test_what_applications_put_around_a_prompt_holds_it(text: str, seed: int) -> None:
    for template in TEMPLATES[:2]:
        assert text in wrap(text, template, MATERIAL, random.Random(seed))
    record = wrap(text, TEMPLATES[2], MATERIAL, random.Random(seed))
    assert json.loads(record) == {"id": 7, "query": text}


def test_context_is_made_of_statements() -> None:
    context, _ = wrap("What?", TEMPLATES[1], MATERIAL, random.Random(1)).split("\n\n")
    assert all(part.rstrip(".") in " ".join(MATERIAL.sentences) for part in context.split(". ") if part)


def test_templates_are_drawn_but_not_those_kept_back() -> None:
    templates = [Template("chat", f"{number} {{prompt}}") for number in range(40)]
    config = AugmentationConfig(share=1.0, second=0.0, weights={"template": 1.0})
    say = speaker([prompt("How tall is the tower of Pisa?")], config, templates)
    said = {say(0, random.Random(seed)).split()[0] for seed in range(400)}
    kept_back = {one.text.split()[0] for one in templates if one.held_out}
    assert kept_back
    assert not said & kept_back
    assert len(said) > 20


def test_without_templates_nothing_is_put_around() -> None:
    assert apply(prompt("Why?"), ["template"], Material((), ()), random.Random(0)) == "Why?"


@given(SEEDS)
def test_misspelt_words_are_few_and_nearly_right(seed: int) -> None:
    text = "Calculate the probability of drawing two red marbles from a bag " * 4
    said = apply(prompt(text), ["typos"], MATERIAL, random.Random(seed))
    right = sum(a == b for a, b in zip(words(said), words(text), strict=True))
    assert right / len(words(text)) > 0.4
    assert abs(len(said) - len(text)) < 0.1 * len(text)


def test_some_words_are_misspelt() -> None:
    text = "Calculate the probability of drawing two red marbles from a bag " * 4
    assert apply(prompt(text), ["typos"], MATERIAL, random.Random(0)) != text


@given(SEEDS)
def test_plain_text_has_the_same_words(seed: int) -> None:
    text = "What is 3.5 + x^2, if x = -4? Ask Dr. Young (MIT)!"
    said = apply(prompt(text), ["plain"], MATERIAL, random.Random(seed))
    assert words(said) == words(text)
    assert "+" in said
    assert "3.5" in said


@given(SEEDS)
def test_the_options_of_a_prompt_are_appended(seed: int) -> None:
    said = apply(prompt("Which is a gas?", ("iron", "neon")), ["options"], MATERIAL, random.Random(seed))
    assert said.startswith("Which is a gas?")
    assert said.index("iron") < said.index("neon")


@given(SEEDS)
def test_options_in_the_text_are_taken_away(seed: int) -> None:
    text = "Which is a gas?\nA. iron\nB. neon\nC. zinc"
    assert apply(prompt(text), ["options"], MATERIAL, random.Random(seed)) == "Which is a gas?"


@given(SEEDS)
def test_without_options_general_ones_are_appended(seed: int) -> None:
    said = apply(prompt("Is neon a gas?"), ["options"], MATERIAL, random.Random(seed))
    assert said.startswith("Is neon a gas?")
    assert any(options[-1] in said for options in wordings.GENERIC_OPTIONS)


def test_two_changes_are_made_one_on_the_other() -> None:
    said = apply(prompt("Is neon a gas?", ("yes", "no")), ["options", "passage"], MATERIAL, random.Random(1))
    assert "Is neon a gas?\n" in said
    assert "The train to the coast" in said or "Her garden" in said


def test_braces_in_prompts_and_passages_are_left_alone() -> None:
    for seed in range(30):
        said = apply(prompt("What is {prompt} or {before}?"), ["passage"], MATERIAL, random.Random(seed))
        assert said.count("What is {prompt} or {before}?") == 1


def test_passages_are_made_of_statements() -> None:
    texts = [
        "Tom walked to the old mill by the river. He was tired. How far did he walk?",
        "Write a function that returns the longest word in a list of words.",
        "Three ships left the harbour of\nGenoa on the same sunny day. When did they meet?",
    ]
    material = gather_material([prompt(text) for text in texts])
    assert material.sentences == ("Tom walked to the old mill by the river.",)
    assert material.prompts == tuple(texts)


def test_without_statements_a_passage_changes_nothing() -> None:
    assert apply(prompt("Why?"), ["passage"], Material((), ("Why?",)), random.Random(0)) == "Why?"


def test_the_share_of_changed_prompts_is_what_is_asked() -> None:
    rng = random.Random(0)
    config = AugmentationConfig(share=0.3, second=0.5)
    drawn = [draw(config, rng) for _ in range(4000)]
    assert 0.27 < sum(map(bool, drawn)) / len(drawn) < 0.33
    assert {len(changes) for changes in drawn} == {0, 1, 2}
    assert all(len(set(changes)) == len(changes) for changes in drawn)


def test_a_kind_without_weight_is_never_drawn() -> None:
    config = AugmentationConfig(share=1.0, second=1.0, weights={"typos": 1.0, "plain": 2.0, "fence": 0.0})
    rng = random.Random(0)
    assert {kind for _ in range(200) for kind in draw(config, rng)} == {"typos", "plain"}


def test_prompts_are_said_as_a_router_reads_them() -> None:
    say = speaker([prompt("  What is pi?\n")], AugmentationConfig(share=0.0))
    assert say(0, random.Random(0)) == "What is pi?"


def test_beyond_the_prompts_there_is_noise() -> None:
    say = speaker([prompt("What is pi?")], AugmentationConfig(share=0.0))
    assert say(1, random.Random(0)) == noise(random.Random(0)) != say(1, random.Random(1))
    rng = random.Random(0)
    assert sum(unfamiliar(noise(rng)) == "characters" for _ in range(300)) > 150


def test_the_evaluation_wraps_in_other_words() -> None:
    """A router that has learnt a wrapping by heart has not learnt to see through wrappings."""
    learnt = {
        line.strip().casefold()
        for texts in (wordings.INSTRUCTIONS, wordings.REASONING, wordings.PREAMBLES, wordings.PASSAGES)
        for text in texts
        for line in text.split("\n")
        if len(line.split()) > 3
    }
    empty = random.Random(0)
    measured = {
        line.strip().casefold()
        for one in wrapping.wrappings()
        for line in one.wrap("{prompt}", "math", empty).split("\n")
    }
    assert len(learnt) > 40
    assert not learnt & measured

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.load.padding import TOKENS_PER_WORD, estimate_tokens, pad
from modem.load.prompts import read_prompts
from modem.load.shipped import folder
from modem.routing.text import prompt_text

QUESTION = "Which planet has the most moons?"


def padded(tokens: int, seed: int = 1, question: str = QUESTION) -> str:
    return pad(question, tokens, np.random.default_rng(seed))


def num_shared(first: str, second: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    same = (one == other for one, other in zip(first, second, strict=False))
    return next((number for number, is_same in enumerate(same) if not is_same), min(len(first), len(second)))


def test_tokens_are_estimated_by_words() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("one two  three\nfour five") == round(5 * TOKENS_PER_WORD)


@given(st.integers(20, 20_000), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_prompt_is_as_long_as_wanted_and_ends_in_its_question(tokens: int, seed: int) -> None:
    prompt = padded(tokens, seed)
    assert prompt.startswith("Context:\n")
    assert prompt.endswith(f"\n\nQuestion: {QUESTION}")
    assert estimate_tokens(prompt) == pytest.approx(tokens, abs=TOKENS_PER_WORD)
    assert prompt == padded(tokens, seed)


@pytest.mark.parametrize("tokens", [1, 8, 10])
def test_a_question_that_is_long_enough_is_left_alone(tokens: int) -> None:
    assert padded(tokens) == QUESTION


def test_prompts_share_hardly_more_than_their_label_at_the_beginning() -> None:
    # Else an engine's prefix cache would answer for the engine.
    prompts = [padded(1000, seed) for seed in range(60)]
    shared = [num_shared(*pair) for pair in combinations(prompts, 2)]
    assert np.mean(shared) < len("Context:\n") + 5
    assert len(set(prompts)) == len(prompts)


def test_passages_come_again_only_when_all_have_come() -> None:
    text = (folder("prompts") / "filler.txt").read_text(encoding="utf-8")
    sentences = {part.strip().split("\n")[0].split(". ")[0] for part in text.split("\n\n")}
    num_words = len(text.split())
    prompt = padded(round(0.9 * num_words * TOKENS_PER_WORD))
    # The first passage begins anywhere, and so may be there twice.
    assert sum(prompt.count(sentence) > 1 for sentence in sentences) <= 1
    long = padded(round(3 * num_words * TOKENS_PER_WORD))
    assert all(long.count(sentence) >= 2 for sentence in sentences)


@pytest.mark.parametrize("tokens", [200, 1500, 30_000])
def test_the_router_reads_the_question_as_if_there_were_no_passages(tokens: int) -> None:
    for domain, questions in read_prompts(None).items():
        for number, question in enumerate(questions):
            long = padded(tokens, number, question)
            assert prompt_text(long) == prompt_text(question), (domain, question)


def test_passages_are_of_some_length_and_different() -> None:
    passages = (folder("prompts") / "filler.txt").read_text(encoding="utf-8").split("\n\n")
    assert len(passages) >= 30
    assert len(set(passages)) == len(passages)
    assert all(60 <= len(passage.split()) <= 110 for passage in passages)
    # No label in them that would cut a prompt into pieces.
    assert not any(re.search(r"(?i)\b(question|context|answer)s?:", passage) for passage in passages)

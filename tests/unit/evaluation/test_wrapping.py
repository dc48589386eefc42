import json
import random
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.evaluation import wrapping
from modem.evaluation.sets import committed_sets
from modem.evaluation.wrapping import CONTEXT_CHARS, Wrapping, in_context, in_data, read_passages, wrappings
from tests.builders import DOMAINS

PASSAGES = read_passages()
CORPUS = Path(__file__).parents[3] / "training" / "corpus"


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def runs(text: str, length: int) -> set[str]:
    found = words(text)
    return {" ".join(found[start : start + length]) for start in range(len(found) - length + 1)}


def test_there_are_six_boilerplates_and_two_places_in_context() -> None:
    assert [one.name for one in wrappings()] == [
        "chain_of_thought",
        "few_shot",
        "multiple_choice",
        "chat_preamble",
        "json_in_xml",
        "long_rules",
        "context_before",
        "context_around",
    ]


@pytest.mark.parametrize("one", [w for w in wrappings() if w.name != "json_in_xml"], ids=lambda w: w.name)
@given(prompt=st.text(string.printable, min_size=1, max_size=200), domain=st.sampled_from(DOMAINS))
def test_every_wrapping_holds_the_prompt_once_as_it_is(one: Wrapping, prompt: str, domain: str) -> None:
    wrapped = one.wrap(prompt, domain, random.Random(0))
    without = one.wrap("\0", domain, random.Random(0))
    before, after = without.split("\0")
    assert wrapped == before + prompt + after
    assert len(without) > 100


@given(st.text())
def test_data_is_json_whatever_the_prompt(prompt: str) -> None:
    payload = in_data(prompt).split("<payload>\n")[1].rsplit("\n</payload>")[0]
    assert json.loads(payload)["user_input"] == prompt


def test_a_prompt_that_looks_like_a_template_is_left_alone() -> None:
    for one in wrappings():
        assert "{prompt}" in one.wrap("what does {prompt} mean in f'{x}'?", "coding", random.Random(0))


@pytest.mark.parametrize("domain", DOMAINS)
def test_context_is_some_4000_tokens_of_other_domains(domain: str) -> None:
    own = {passage.text for passage in PASSAGES if passage.domain == domain}
    around = {one.name: one.wrap("THE QUESTION", domain, random.Random(3)) for one in wrappings()[-2:]}
    for text in around.values():
        assert 0.9 * CONTEXT_CHARS < len(text) <= CONTEXT_CHARS + len("THE QUESTION")
        assert not own & set(text.split("\n\n"))
    assert around["context_before"].endswith("\n\nTHE QUESTION")
    place = around["context_around"].index("THE QUESTION") / len(around["context_around"])
    assert 0.4 < place < 0.6


@given(st.integers(0, 30_000), st.sampled_from(["end", "middle"]), st.integers())
def test_context_never_exceeds_its_limit(limit: int, place: str, seed: int) -> None:
    text = in_context("Q", PASSAGES, place, random.Random(seed), limit)  # type: ignore[arg-type]
    assert "Q" in text.split("\n\n")
    assert len(text) <= limit + 1


def test_the_same_seed_gives_the_same_context() -> None:
    texts = [in_context("Q", PASSAGES, "end", random.Random(seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_passages_ask_nothing_and_cover_all_domains() -> None:
    assert {passage.domain for passage in PASSAGES} == set(DOMAINS)
    assert len({passage.text for passage in PASSAGES}) == len(PASSAGES)
    assert not [passage.text for passage in PASSAGES if "?" in passage.text]


def test_no_wording_is_what_training_uses() -> None:
    """What a router has learnt word for word it does not have to see through."""
    from modem.training import wordings

    learnt = " \n ".join(
        one
        for value in vars(wordings).values()
        if isinstance(value, tuple)
        for one in value
        if isinstance(one, str)
    )
    ours = "\n\n".join(
        value for name, value in vars(wrapping).items() if isinstance(value, str) and name.startswith("_")
    )
    assert len(words(learnt)) > 500
    assert runs(ours, 6) & runs(learnt, 6) == set()


def test_no_passage_is_in_the_corpus_or_in_a_set() -> None:
    ours = {run for passage in PASSAGES for run in runs(passage.text, 10)}
    texts = [json.loads(line)["prompt"] for file in CORPUS.glob("*.jsonl") for line in file.open()]
    texts += [case.prompt for found in committed_sets() for case in found.cases]
    assert [text for text in texts if runs(text, 10) & ours] == []

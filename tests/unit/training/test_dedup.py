import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.training.data import Prompt
from modem.training.dedup import MAX_EXAMPLES, RUN_WORDS, Deduplicated, deduplicate, report

LONG = (
    "A farmer sells twelve eggs a day at the market and keeps three of them for his breakfast each morning."
)


def prompt(text: str, where: str = "f:1", source: str = "s") -> Prompt:
    return Prompt(text, "math", source, where)


def reasons(found: Deduplicated) -> list[tuple[str, str, str]]:
    return [(drop.reason, drop.of, drop.because_of) for drop in found.dropped]


def test_the_same_words_come_once() -> None:
    found = deduplicate(
        [prompt("What is pi?", "f:1"), prompt("what  IS pi", "f:2"), prompt("why?", "f:3")], {}
    )
    assert [p.where for p in found.prompts] == ["f:1", "f:3"]
    assert reasons(found) == [("exact", "mix", "f:1")]


def test_signs_alone_are_compared_as_signs() -> None:
    found = deduplicate([prompt("?", "f:1"), prompt("...", "f:2"), prompt("?", "f:3")], {})
    assert [p.where for p in found.prompts] == ["f:1", "f:2"]


@pytest.mark.parametrize(
    "text",
    [
        LONG.replace("morning", "evening"),
        LONG.replace("A farmer", "The farmer"),
        LONG + " Why?",
        LONG.upper(),
    ],
)
def test_almost_the_same_counts_as_the_same(text: str) -> None:
    found = deduplicate([prompt(LONG, "f:1"), prompt(text, "f:2")], {})
    assert [p.where for p in found.prompts] == ["f:1"]
    assert found.dropped[0].because_of == "f:1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What should I know about the French Revolution?", "What should I know about tides?"),
        ("Explain the quadratic formula in simple terms.", "Explain the cubic formula in simple terms."),
        (LONG, "A farmer sells eggs."),
        ("ideal", "prime"),
    ],
)
def test_a_shared_phrasing_is_no_repeat(one: str, other: str) -> None:
    assert not deduplicate([prompt(one), prompt(other)], {}).dropped


def test_what_is_measured_on_is_not_learnt() -> None:
    apart = {
        "chat": [prompt("What is pi?", "chat:1")],
        "exam": [prompt(LONG, "exam:7")],
    }
    found = deduplicate([prompt("what is PI"), prompt(LONG.replace("eggs", "hens")), prompt("new")], apart)
    assert [p.text for p in found.prompts] == ["new"]
    assert reasons(found) == [("exact", "chat", "chat:1"), ("near", "exam", "exam:7")]


def test_a_question_inside_a_longer_prompt_is_found() -> None:
    around = "Read this and then answer as well as you can, my dear friend: "
    inside = prompt(around + " ".join(LONG.split()[:RUN_WORDS]) + " " + around.upper() + around)
    assert reasons(deduplicate([inside], {"exam": [prompt(LONG, "exam:7")]})) == [("run", "exam", "exam:7")]
    shorter = prompt(around + " ".join(LONG.split()[: RUN_WORDS - 1]) + " " + around.upper() + around)
    assert not deduplicate([shorter], {"exam": [prompt(LONG)]}).dropped


def test_within_the_mix_a_long_piece_in_common_is_allowed() -> None:
    piece = " ".join(LONG.split()[:RUN_WORDS])
    tails = (
        "is the first line of a poem that goes on for many lines",
        "was said by nobody we have ever met before",
    )
    assert not deduplicate([prompt(f"{piece} {tail}") for tail in tails], {}).dropped


def test_the_report_counts_by_source_and_never_shows_a_prompt() -> None:
    mix = [prompt(f"secret text number {i % 2}", f"f:{i}", f"s{i % 2}") for i in range(60)]
    found = report(deduplicate(mix, {"exam": [prompt("secret text number 1", "exam:1")]}))
    assert (found["num_kept"], found["num_dropped"]) == (1, 59)
    assert found["by_source"] == {"s0": {"exact in mix": 29}, "s1": {"exact in exam": 30}}
    assert found["examples"]["exact in exam"][0] == {"dropped": "f:1", "repeats": "exam:1"}
    assert len(found["examples"]["exact in exam"]) == MAX_EXAMPLES
    assert "secret" not in json.dumps(found)


TEXTS = st.lists(st.text("abc ?", min_size=1, max_size=12).filter(str.strip), max_size=12)


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS)
def test_every_prompt_is_kept_or_dropped_with_a_reason(mix: list[str], exam: list[str]) -> None:
    prompts = [prompt(text, f"f:{i}") for i, text in enumerate(mix)]
    found = deduplicate(prompts, {"exam": [prompt(text) for text in exam]})
    places = [p.where for p in found.prompts] + [drop.prompt.where for drop in found.dropped]
    assert sorted(places) == sorted(p.where for p in prompts)
    again = deduplicate(found.prompts, {"exam": [prompt(text) for text in exam]})
    assert again.prompts == found.prompts

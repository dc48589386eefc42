import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.boilerplate import NUMBER, RARE, Lexicon, features, lexicon

SMALL = Lexicon(
    {"answer": 2.0, "the question": 1.5, RARE: -3.0, "<asks>": -1.0},
    -0.5,
    frozenset({"the", "question", "answer"}),
)


@pytest.mark.parametrize(
    "sentence",
    [
        "Let's think step by step.",
        "You are a helpful assistant.",
        "Answer with the letter of the correct option and nothing else.",
        "If you do not know the answer, say so.",
        "Please keep your reply short and polite.",
        "Use the following pieces of context to answer the question at the end.",
    ],
)
def test_sentences_on_how_to_answer_are_boilerplate(sentence: str) -> None:
    assert lexicon().is_boilerplate(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "What is the capital of France?",
        "Write a poem about love.",
        "Tell me a joke.",
        "Prove that the square root of two is irrational.",
        "My chest hurts when I climb the stairs.",
        "Refactor this class so that it no longer opens a file.",
        "Write a letter to my landlord about the broken heating.",
        "The beaker holds 200 ml of a saturated solution.",
        "Yes",
    ],
)
def test_what_is_asked_is_not(sentence: str) -> None:
    assert not lexicon().is_boilerplate(sentence)


def test_weights_add_up() -> None:
    assert SMALL.log_odds("Answer the question") == pytest.approx(2.0 + 1.5 - 0.5)
    assert SMALL.log_odds("Answer the question?") == pytest.approx(2.0 + 1.5 - 1.0 - 0.5)
    assert SMALL.log_odds("Answer the zebra") == pytest.approx(2.0 - 3.0 - 0.5)
    assert SMALL.is_boilerplate("Answer the question")
    assert not SMALL.is_boilerplate("Answer it"), "two words are too few"


def test_rare_words_are_one_and_part_pairs() -> None:
    found = features("The zebra answer 42", SMALL.vocabulary)
    assert {"the", RARE, "answer", NUMBER, f"answer {NUMBER}", "<rare 1>"} <= found
    assert not any("zebra" in feature for feature in found)


def test_a_topic_is_a_word_that_is_not_known() -> None:
    assert SMALL.has_topic("The zebra")
    assert not SMALL.has_topic("The answer 42")


def test_common_words_are_known_and_topics_are_not() -> None:
    assert {"answer", "step", "assistant"} <= lexicon().vocabulary
    assert lexicon().vocabulary.isdisjoint({"photosynthesis", "javascript", "antibiotics", "eigenvalue"})


@given(st.text(max_size=200))
def test_any_text_has_log_odds(text: str) -> None:
    assert isinstance(lexicon().log_odds(text), float)

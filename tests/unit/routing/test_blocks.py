import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.blocks import asks, by_blocks, split_blocks

PROSE = [
    "The harbour was built in three stages, each of which needed the one before. The last was finished late.",
    "Letters were sorted by hand until the machine came. It read the figures and left the names to people.",
    "A new roof covers the market hall. The old one had let the rain in for a generation, and nobody minded.",
    "The river changes its bed after every flood. Maps of the valley are drawn anew when the water is low.",
]


def around(question: str, place: int) -> str:
    return "\n\n".join([*PROSE[:place], question, *PROSE[place:]])


@pytest.mark.parametrize("place", range(len(PROSE) + 1))
@pytest.mark.parametrize(
    "question",
    [
        "How long does it take to boil an egg?",
        "Write a function that reverses a list.",
        "symptoms of iron deficiency in children",
        "please explain why the sky is blue",
        "Which one is prime?\nA. 21\nB. 23\nC. 25\nD. 27",
        "can you help me understand recursion",
    ],
)
def test_what_asks_is_found_among_prose(question: str, place: int) -> None:
    parts = by_blocks(around(question, place))
    assert parts.question == question
    assert parts.passages.count("\n") == len(PROSE) - 1


def test_lines_are_blocks_where_there_are_no_empty_ones() -> None:
    assert by_blocks("\n".join([*PROSE, "how do magnets work"])).question == "how do magnets work"


def test_text_in_which_nothing_asks_is_left_alone() -> None:
    text = " ".join(PROSE)
    assert by_blocks(text).question == text
    assert by_blocks(text).passages == ""


def test_of_two_that_ask_alike_the_last_counts() -> None:
    asked = "What is a monad?"
    assert by_blocks(around(asked, 1).replace(PROSE[-1], "What is a gonad?")).question == "What is a gonad?"


def test_options_stay_with_their_question() -> None:
    assert split_blocks("Which?\n\nA. one\n\nB. two\n\nEnd.") == ["Which?\nA. one\nB. two", "End."]


@pytest.mark.parametrize(
    ("block", "score"),
    [
        ("The roof leaks.", 0),
        ("Please write a poem.", 2),
        ("I would like to compare two offers.", 2),
        ("He asked why? Nobody knew.", 2),
        ("The roof leaks?", 3),
        ("What leaks?", 5),
        ("True or false: the roof leaks.", 4),
        ("True, or so it seems.", 2),
        ("What leaks?\nA. roof\nB. wall\nC. tap", 5),
    ],
)
def test_how_much_a_block_asks(block: str, score: int) -> None:
    assert asks(block) == score


@given(st.text(max_size=400))
def test_a_part_of_the_text_is_the_question_and_nothing_is_lost(text: str) -> None:
    parts = by_blocks(text)
    lost = set(text.split()) - set(parts.question.split()) - set(parts.passages.split())
    assert not lost

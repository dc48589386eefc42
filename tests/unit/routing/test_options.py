"""Options that only judge, told from options that name something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.options import without_verdicts
from modem.routing.text import prompt_text

QUESTION = "Is the heart a muscle, and are the lungs?"


@pytest.mark.parametrize(
    "options",
    [
        "A. The first statement alone\nB. The second statement alone\nC. Both of them\nD. Neither of them",
        "A) True, True\nB) False, False\nC) True, False\nD) False, True",
        "(a) I only\n(b) II only\n(c) I and II\n(d) neither I nor II",
        "1. Yes\n2. No\n3. Cannot be determined from the information given",
        "i. correct\nii. incorrect",
    ],
)
def test_options_that_only_judge_are_dropped(options: str) -> None:
    assert without_verdicts(f"{QUESTION}\n\n{options}") == QUESTION


@pytest.mark.parametrize(
    "text",
    [
        f"{QUESTION}\nA. The lungs\nB. The heart\nC. Both",  # names something
        "What is 7 + 5?\nA. 11\nB. 12\nC. 13",  # a number is an answer
        f"{QUESTION}\nA. Both of them",  # one line is no choice
        "A. True\nB. False",  # nothing would be left
        "Which is right?\nA. True\nB. False",  # nor would a topic
        "Steps:\n1. Wash the rice\n2. Boil it",
        QUESTION,
        "",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_verdicts(text) == text


def test_what_follows_the_options_is_kept() -> None:
    text = f"{QUESTION}\nA. True\nB. False\nThink of the diaphragm too."
    assert without_verdicts(text) == f"{QUESTION}\nThink of the diaphragm too."


def test_a_router_reads_the_question_without_them() -> None:
    text = f"Choose the right option.\n\n{QUESTION}\n\nA. The first alone\nB. Both\nC. Neither"
    assert prompt_text(text) == prompt_text(f"Choose the right option.\n\n{QUESTION}")


@given(st.text(max_size=300))
def test_no_line_is_invented(text: str) -> None:
    lines = text.split("\n")
    assert all(line in text for line in without_verdicts(text).split("\n"))
    assert len(without_verdicts(text).split("\n")) <= len(lines)


@given(st.text(max_size=300))
def test_a_second_pass_changes_nothing(text: str) -> None:
    once = without_verdicts(text)
    assert without_verdicts(once) == once

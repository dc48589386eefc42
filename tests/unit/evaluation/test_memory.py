import time
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from modem.evaluation.memory import Memory


class Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[str]:
        self.asked += texts
        return [text.upper() for text in texts]


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), max_size=6))
def test_answers_are_the_functions_and_each_is_computed_once(calls: list[list[str]]) -> None:
    function = Counting()
    memory = Memory(function)
    for texts in calls:
        assert memory(texts) == [text.upper() for text in texts]
    assert sorted(function.asked) == sorted({text for texts in calls for text in texts})


def test_off_asks_the_function_itself() -> None:
    function = Counting()
    memory = Memory(function)
    memory(["a"])
    with memory.off():
        assert memory(["a", "a"]) == ["A", "A"]
    memory(["a"])
    assert function.asked == ["a", "a", "a"]


def test_what_is_saved_is_what_it_took() -> None:
    def slow(texts: Sequence[str]) -> list[str]:
        time.sleep(0.05)
        return list(texts)

    memory = Memory(slow)
    memory(["a", "b"])
    assert memory.saved_s == 0
    memory(["a", "b", "b"])
    assert 0.05 <= memory.saved_s < 0.5

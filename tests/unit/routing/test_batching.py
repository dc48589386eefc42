import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.routing.batching import batches, guess_tokens, how_many

LENGTHS = st.lists(st.integers(min_value=1, max_value=600), max_size=60)
BUDGET = st.integers(min_value=1, max_value=5000)


def cost(lengths: list[int]) -> int:
    """Tokens of a pass, padding included."""
    return len(lengths) * max(lengths)


@given(LENGTHS, BUDGET)
def test_every_text_is_in_one_batch(lengths: list[int], budget: int) -> None:
    found = batches(lengths, budget)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    assert all(found)


@given(LENGTHS, BUDGET)
def test_a_batch_of_several_keeps_the_budget(lengths: list[int], budget: int) -> None:
    for batch in batches(lengths, budget):
        assert len(batch) == 1 or cost([lengths[index] for index in batch]) <= budget


@given(LENGTHS, BUDGET)
def test_texts_of_like_length_are_together(lengths: list[int], budget: int) -> None:
    in_order = [lengths[index] for batch in batches(lengths, budget) for index in batch]
    assert in_order == sorted(lengths)


@given(LENGTHS, BUDGET)
def test_no_batch_would_fit_into_the_one_before(lengths: list[int], budget: int) -> None:
    found = batches(lengths, budget)
    for one, following in itertools.pairwise(found):
        assert cost([lengths[index] for index in [*one, following[0]]]) > budget


@given(LENGTHS, BUDGET)
def test_rows_put_back_by_index_are_in_the_order_given(lengths: list[int], budget: int) -> None:
    rows = [0] * len(lengths)
    for batch in batches(lengths, budget):
        for index in batch:
            rows[index] = lengths[index]
    assert rows == lengths


def test_texts_of_one_length_keep_their_order() -> None:
    assert batches([3, 3, 3, 3, 3], 6) == [[0, 1], [2, 3], [4]]


def test_what_is_longer_than_the_budget_goes_alone() -> None:
    assert batches([50, 2, 60, 2], 10) == [[1, 3], [0], [2]]


@given(LENGTHS, st.integers(min_value=1, max_value=40), BUDGET)
def test_a_queue_is_worked_off_within_both_limits(lengths: list[int], max_texts: int, budget: int) -> None:
    left = lengths
    while left:
        number = how_many(left, max_texts, budget)
        assert 1 <= number <= max_texts
        assert number == 1 or cost(left[:number]) <= budget
        if number < min(max_texts, len(left)):
            assert cost(left[: number + 1]) > budget, "one more would have fitted"
        left = left[number:]


@pytest.mark.parametrize(
    ("lengths", "max_texts", "max_tokens", "number"),
    [
        ([], 8, 100, 0),
        ([500], 8, 100, 1),
        ([10] * 20, 8, 100, 8),
        ([10] * 20, 32, 100, 10),
        # 3 x 40 would fit, 4 x 40 would not: the long one pads the others.
        ([10, 10, 40, 10], 8, 150, 3),
        ([500, 1], 8, 100, 1),
    ],
)
def test_how_many_go_together(lengths: list[int], max_texts: int, max_tokens: int, number: int) -> None:
    assert how_many(lengths, max_texts, max_tokens) == number


def test_a_queue_is_read_no_further_than_needed() -> None:
    endless = iter(lambda: 10, None)
    assert how_many(endless, 3, 1000) == 3


@given(st.text())
def test_every_text_has_a_token(text: str) -> None:
    assert guess_tokens(text) >= 1
    assert guess_tokens(text + "more") == guess_tokens(text) + 1

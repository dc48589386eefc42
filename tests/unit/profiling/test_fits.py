"""The arithmetic from times to figures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.profiling.client import Answer
from modem.profiling.fits import Step, decode_step, fit_decode, fit_line, fit_prefill, places

SECONDS = st.floats(0.001, 10)


def answer(prompt_tokens: int, ttft_s: float, sent_s: float = 0.0) -> Answer:
    return Answer(prompt_tokens, 1, sent_s, (sent_s + ttft_s,))


def written(first_s: float, step_s: float, num_tokens: int, per_chunk: int = 1) -> Answer:
    """An answer whose tokens come at equal distances."""
    chunks = tuple(first_s + step_s * per_chunk * index for index in range(num_tokens // per_chunk))
    return Answer(5, num_tokens, 0.0, chunks)


@given(
    slope=st.floats(-5, 5),
    intercept=st.floats(-5, 5),
    x=st.sets(st.integers(0, 5000), min_size=2, max_size=12),
)
def test_points_on_a_line_give_that_line(slope: float, intercept: float, x: set[int]) -> None:
    line = fit_line(sorted(x), [intercept + slope * each for each in sorted(x)])
    assert line.slope == pytest.approx(slope, abs=1e-6)
    assert line.intercept == pytest.approx(intercept, abs=1e-3)


def test_a_few_late_samples_do_not_move_the_line() -> None:
    x = [100, 100, 100, 500, 500, 500, 1000, 1000, 1000]
    y = [0.03 + 0.0005 * each for each in x]
    late = [*y[:2], y[2] + 5, *y[3:5], y[5] + 2, *y[6:]]
    line = fit_line(x, late)
    assert line.slope == pytest.approx(0.0005, rel=0.05)
    assert line.intercept == pytest.approx(0.03, abs=0.02)
    assert line.r2 < 0.5 < fit_line(x, y).r2


def test_one_length_makes_no_line() -> None:
    with pytest.raises(ValueError, match="two different x"):
        fit_line([5, 5], [1, 2])
    assert fit_line([1, 2], [3, 3]).r2 == 1


@given(rate=st.floats(50, 50_000), overhead=st.floats(0, 0.05))
def test_a_speed_of_reading_is_found_where_the_length_matters(rate: float, overhead: float) -> None:
    alone = [answer(n, overhead + n / rate) for n in (50, 500, 5000)]
    in_turn = [[answer(5000, k * (overhead + 5000 / rate)) for k in (1, 2, 3, 4)]]
    prefill, _ = fit_prefill(alone, in_turn)
    assert prefill.tokens_per_s == pytest.approx(rate, rel=1e-3)
    assert prefill.overhead_s == pytest.approx(overhead, abs=1e-4)
    assert not prefill.parallel


@given(ttft=SECONDS, noise=st.lists(st.floats(-0.02, 0.02), min_size=9, max_size=9))
def test_where_the_length_does_not_matter_no_speed_is_made_of_noise(ttft: float, noise: list[float]) -> None:
    lengths = [50, 500, 5000] * 3
    alone = [answer(n, ttft * (1 + each)) for n, each in zip(lengths, noise, strict=True)]
    prefill, _ = fit_prefill(alone, [[answer(5000, ttft)] * 4])
    assert prefill.tokens_per_s is None
    assert prefill.overhead_s == pytest.approx(ttft, rel=0.03)
    assert prefill.parallel


def test_one_bad_round_does_not_make_a_parallel_engine_serial() -> None:
    alone = [answer(n, 0.1) for n in (10, 100)]
    rounds = [[answer(100, 0.1)] * 4, [answer(100, 0.9)] * 4, [answer(100, 0.11)] * 4]
    assert fit_prefill(alone, rounds)[0].parallel
    assert not fit_prefill(alone, [[answer(100, 0.4)] * 4] * 3)[0].parallel


@given(step=SECONDS, number=st.integers(1, 20), tokens=st.integers(4, 40), per_chunk=st.integers(1, 2))
def test_the_step_is_the_time_from_token_to_token(
    step: float, number: int, tokens: int, per_chunk: int
) -> None:
    tokens -= tokens % per_chunk
    found = decode_step([written(1.0, step, tokens, per_chunk)] * number)
    assert (found.asked, found.together) == (number, number)
    assert found.step_s == pytest.approx(step)


def test_only_the_stretch_counts_in_which_all_are_written() -> None:
    # The first answer is alone for a second and fast there; then both take 0.1 s a token.
    first = Answer(5, 21, 0.0, tuple([k / 10 * 0.5 for k in range(20)] + [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]))
    second = Answer(5, 6, 0.0, (1.0, 1.1, 1.2, 1.3, 1.4, 1.5))
    assert decode_step([Answer(5, 26, 0.0, first.chunk_s), second]).step_s == pytest.approx(0.1)


def test_answers_that_waited_for_a_place_are_left_out() -> None:
    batch = [written(1.0, 0.1, 10)] * 3 + [written(2.5, 0.1, 10)] * 2
    found = decode_step(batch)
    assert (found.asked, found.together) == (5, 3)
    assert found.step_s == pytest.approx(0.1)
    assert places([found]) == 3


def test_a_stretch_too_short_for_a_step_falls_back_to_whole_answers() -> None:
    staggered = [written(0.0, 0.1, 4), written(0.29, 0.1, 4)]
    assert decode_step(staggered).step_s == pytest.approx(0.1)
    assert decode_step([Answer(5, 1, 0.0, (1.0,))]).step_s == 0


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 64), SECONDS), min_size=1, max_size=30))
def test_decode_has_a_point_for_each_number_and_lies_between_the_samples(
    samples: list[tuple[int, float]],
) -> None:
    decode = fit_decode([Step(number, number, step) for number, step in samples])
    assert list(decode.batch) == sorted({number for number, _ in samples})
    for number, step in zip(decode.batch, decode.step_s, strict=True):
        mine = [each for n, each in samples if n == number]
        assert 0.999 * min(mine) <= step <= 1.001 * max(mine)


def test_an_engine_is_full_where_fewer_are_written_than_were_sent() -> None:
    assert places([Step(1, 1, 0.1), Step(2, 2, 0.1)]) is None
    assert places([Step(4, 4, 0.1), Step(8, 6, 0.1), Step(8, 6, 0.1), Step(8, 5, 0.1)]) == 6

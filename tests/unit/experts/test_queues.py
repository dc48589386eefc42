"""Counts of requests per expert."""

import pytest

from modem.experts.queues import Queues


def test_a_request_waits_and_then_runs() -> None:
    queues = Queues()
    with queues.waiting("a"), queues.waiting("a"):
        assert (queues.num_waiting("a"), queues.num_running("a")) == (2, 0)
    ended = queues.runs("a")
    assert (queues.num_waiting("a"), queues.num_running("a")) == (0, 1)
    ended()
    assert queues.num_running("a") == 0


def test_experts_do_not_mix_and_an_unknown_one_has_none() -> None:
    queues = Queues()
    queues.runs("a")
    assert [queues.num_running(name) for name in ("a", "b")] == [1, 0]


def test_an_end_that_is_told_twice_counts_once() -> None:
    queues = Queues()
    first, _second = queues.runs("a"), queues.runs("a")
    first()
    first()
    assert queues.num_running("a") == 1


def test_a_wait_that_fails_is_over() -> None:
    queues = Queues()
    with pytest.raises(TimeoutError), queues.waiting("a"):
        raise TimeoutError
    assert queues.num_waiting("a") == 0

"""What a simulated replica tells the autoscaler is exact."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modem.autoscaling.stats import ReplicaStats
from modem.config import SimulatedExpertConfig
from modem.experts.simulated import SimulatedEngine


class Time:
    """A clock that a sleep moves, and nothing else."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)


def engine(**config: Any) -> SimulatedEngine:
    settings = {"model_id": "math", "ttft_s": 0.5, "tpot_s": 0.25, "output_tokens": 4, "max_num_seqs": 2}
    time = Time()
    checked = SimulatedExpertConfig.model_validate({**settings, **config})
    return SimulatedEngine(checked, time.sleep, clock=time, timer=time)


def tokens(found: SimulatedEngine, words: int) -> AsyncIterator[str]:
    body = {"model": "math", "prompt": "word " * words}
    return found.tokens(found.plan("completions", body, "id"))


def test_an_idle_engine_tells_what_it_can() -> None:
    assert engine(max_model_len=1000).stats(startup_s=3.0) == ReplicaStats(
        kv_capacity_tokens=2000, max_running_requests=2, decode_step_s=0.25, startup_s=3.0
    )


async def test_tokens_are_counted_as_they_come() -> None:
    found = engine()
    answer = tokens(found, 10)
    await anext(answer)
    first = found.stats()
    assert (first.running_requests, first.prefill_tokens, first.context_tokens) == (1, 0, 11)
    await anext(answer)
    assert found.stats().context_tokens == 12
    assert [token async for token in answer]
    assert (found.stats().running_requests, found.stats().context_tokens) == (0, 0)


async def test_what_waits_is_yet_to_be_read() -> None:
    found = engine()
    running = [tokens(found, 10), tokens(found, 20)]
    for answer in running:
        await anext(answer)
    waiting = asyncio.ensure_future(anext(tokens(found, 30)))
    await asyncio.sleep(0)
    stats = found.stats()
    assert (stats.running_requests, stats.waiting_requests) == (2, 1)
    assert (stats.prefill_tokens, stats.context_tokens) == (30, 32)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (found.stats().waiting_requests, found.stats().prefill_tokens) == (0, 0)


async def test_a_reader_that_leaves_takes_its_tokens_along() -> None:
    found = engine()
    answer = tokens(found, 10)
    await anext(answer)
    await answer.aclose()  # type: ignore[attr-defined]
    assert (found.stats().running_requests, found.stats().context_tokens) == (0, 0)


async def test_times_are_those_of_its_settings() -> None:
    found = engine()
    assert [token async for token in tokens(found, 100)]
    stats = found.stats()
    assert stats.ttft_s == pytest.approx(0.5)
    assert stats.itl_s == pytest.approx(0.25)
    assert stats.prefill_tokens_per_s == pytest.approx(200)


async def test_a_first_token_includes_the_wait_for_a_place() -> None:
    found = engine(max_num_seqs=1)
    first = tokens(found, 10)
    await anext(first)

    async def read(answer: AsyncIterator[str]) -> list[str]:
        return [token async for token in answer]

    second = asyncio.ensure_future(read(tokens(found, 10)))
    await asyncio.sleep(0)
    await read(first)
    await second
    # Half a second for the first; three tokens more of a quarter, and half a second, for the second.
    assert found.stats().ttft_s == pytest.approx((0.5 + 1.25) / 2, rel=0.02)
    assert found.stats().prefill_tokens_per_s == pytest.approx(20)

"""Many waits, one timer."""

import asyncio

import pytest

from modem.watchdog import Watchdog
from tests.unit.skipping import SkippingPolicy


@pytest.fixture(scope="module")
def event_loop_policy() -> SkippingPolicy:
    return SkippingPolicy()


def watchdog(idle_s: float, total_s: float = 60.0) -> Watchdog:
    return Watchdog(idle_s, asyncio.get_running_loop().time() + total_s)


async def test_what_is_quick_passes_and_returns_its_value() -> None:
    dog = watchdog(0.2)
    for number in range(5):
        assert await dog.wait(asyncio.sleep(0.01, number)) == number
    dog.close()


async def test_many_waits_may_last_longer_than_one() -> None:
    dog = watchdog(0.1)
    for _ in range(8):
        await dog.wait(asyncio.sleep(0.03))
    dog.close()


async def test_one_long_wait_is_ended_and_cancelled() -> None:
    dog = watchdog(0.05)
    work = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        await dog.wait(work)
    assert work.cancelled()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # the task goes on as if nothing had happened


async def test_after_the_deadline_no_wait_goes_on() -> None:
    dog = watchdog(10, 0.05)
    with pytest.raises(TimeoutError):
        await dog.wait(asyncio.sleep(5))


async def test_a_pause_between_waits_does_not_count() -> None:
    dog = watchdog(0.05)
    await dog.wait(asyncio.sleep(0))
    await asyncio.sleep(0.15)  # the client is slow, not the expert
    assert await dog.wait(asyncio.sleep(0.01, "fine")) == "fine"
    with pytest.raises(TimeoutError):
        await dog.wait(asyncio.sleep(5))


async def test_a_cancellation_from_outside_stays_one() -> None:
    dog = watchdog(10)
    task = asyncio.create_task(dog.wait(asyncio.sleep(5)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_comes_through() -> None:
    async def fails() -> None:
        raise ValueError("mine")

    dog = watchdog(1)
    with pytest.raises(ValueError, match="mine"):
        await dog.wait(fails())


async def test_closed_it_looks_no_more() -> None:
    dog = watchdog(0.01)
    await dog.wait(asyncio.sleep(0))
    dog.close()
    await asyncio.sleep(0.05)

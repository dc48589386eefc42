import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from modem.routing.added import with_added
from modem.routing.compact import CompactRouter
from modem.routing.worker import Worker
from modem.types import AddedDomain, DomainScores
from tests.builders import DOMAINS
from tests.compact import write_compact_router
from tests.routers import KeywordRouter

LAW = (AddedDomain("law", "Of law.", ("Can I sue?",)),)
MUSIC = (AddedDomain("music", "Of music.", ("Which key?",)),)


class Recorder(KeywordRouter):
    """Notes its batches and the threads that call it; a text ``wait`` holds it up until released."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.released = threading.Event()

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        self.batches.append(list(texts))
        self.threads.add(threading.current_thread().name)
        if "wait" in texts:
            assert self.released.wait(10)
        return super().score(texts)


def worker(router: KeywordRouter, max_texts: int = 8, max_tokens: int = 4096, wait_s: float = 0.0) -> Worker:
    return Worker(router, max_texts, max_tokens, wait_s)


async def until(done: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 (there is no event for it)
            await asyncio.sleep(0.001)


async def held_up(one: Worker, router: Recorder) -> "asyncio.Task[list[DomainScores | None]]":
    """Let the worker begin with a text that takes until it is released."""
    task = asyncio.create_task(one.score(["wait"]))
    await until(lambda: bool(router.batches))
    return task


def tops(found: Sequence[DomainScores | None]) -> list[str | None]:
    return [None if one is None else one.top()[0] for one in found]


async def test_each_call_gets_its_own_scores() -> None:
    router = Recorder()
    one = worker(router, max_texts=3)
    found = await asyncio.gather(*(one.score([domain, "other"]) for domain in DOMAINS))
    assert [tops(scores) for scores in found] == [[domain, "other"] for domain in DOMAINS]
    assert max(map(len, router.batches)) == 3


async def test_no_texts_no_scores() -> None:
    router = Recorder()
    assert await worker(router).score([]) == []
    assert router.batches == []


async def test_texts_that_wait_go_together_up_to_a_number() -> None:
    router = Recorder()
    one = worker(router, max_texts=3)
    first = await held_up(one, router)
    rest = [asyncio.create_task(one.score([text])) for text in ("math", "health", "science", "coding")]
    await asyncio.sleep(0)
    router.released.set()
    await asyncio.gather(first, *rest)
    assert router.batches == [["wait"], ["math", "health", "science"], ["coding"]]


async def test_texts_that_wait_go_together_up_to_a_cost() -> None:
    router = Recorder()
    one = worker(router, max_tokens=300)
    first = await held_up(one, router)
    long = "x" * 400  # about 101 tokens, and the others would be padded to it
    rest = asyncio.create_task(one.score(["a", "b", long, "c"]))
    await asyncio.sleep(0)
    router.released.set()
    await asyncio.gather(first, rest)
    assert router.batches == [["wait"], ["a", "b"], [long, "c"]]


async def test_the_router_runs_in_one_thread_of_its_own() -> None:
    router = Recorder()
    one = worker(router)
    for _ in range(3):
        await asyncio.gather(*(one.score([domain]) for domain in DOMAINS))
    (name,) = router.threads
    assert name.startswith("router")


async def test_the_event_loop_goes_on_meanwhile() -> None:
    router = Recorder()
    task = await held_up(worker(router), router)
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert not task.done()
    router.released.set()
    await task


async def test_a_text_that_breaks_the_router_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ray.serve"):
        found = await worker(Recorder()).score(["math", "brokenrouter", "health"])
    assert tops(found) == ["math", None, "health"]
    assert "asked to fail" in caplog.text


async def test_a_broken_router_does_not_stop_the_worker() -> None:
    one = worker(Recorder())
    assert await one.score(["brokenrouter"]) == [None]
    assert tops(await one.score(["math"])) == ["math"]


async def test_a_router_that_gives_too_few_answers_has_failed() -> None:
    class Terse(KeywordRouter):
        def score(self, texts: Sequence[str]) -> list[DomainScores]:
            return super().score(texts)[:1]

    assert tops(await worker(Terse()).score(["math", "health"])) == ["math", "health"], "alone it answers"

    class Mute(KeywordRouter):
        def score(self, texts: Sequence[str]) -> list[DomainScores]:
            return []

    assert await worker(Mute()).score(["math", "health"]) == [None, None]


async def test_texts_that_nobody_waits_for_are_left_out() -> None:
    router = Recorder()
    one = worker(router)
    first = await held_up(one, router)
    given_up = asyncio.create_task(one.score(["health", "science"]))
    kept = asyncio.create_task(one.score(["math"]))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    router.released.set()
    assert tops(await kept) == ["math"]
    await first
    assert router.batches == [["wait"], ["math"]]


async def test_a_call_given_up_while_it_is_scored_does_no_harm() -> None:
    router = Recorder()
    one = worker(router)
    first = await held_up(one, router)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    router.released.set()
    assert tops(await one.score(["math"])) == ["math"]


async def test_it_waits_for_others_no_longer_than_it_may() -> None:
    router = Recorder()
    one = worker(router, max_texts=2, wait_s=0.2)
    started = time.monotonic()
    calls = [asyncio.create_task(one.score(["math"]))]
    await asyncio.sleep(0.02)
    calls.append(asyncio.create_task(one.score(["health"])))
    await asyncio.gather(*calls)
    assert router.batches == [["math", "health"]]
    assert time.monotonic() - started >= 0.2


async def test_what_fills_a_pass_does_not_wait() -> None:
    router = Recorder()
    one = worker(router, max_texts=2, wait_s=30)
    task = asyncio.create_task(one.score(["math", "health", "science"]))
    await until(lambda: bool(router.batches))
    assert router.batches == [["math", "health"]], "the third waits for company"
    task.cancel()


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> CompactRouter:
    return CompactRouter(write_compact_router(tmp_path_factory.mktemp("compact")))


async def test_added_domains_are_scored_too(compact: CompactRouter) -> None:
    one = Worker(compact, 8, 4096)
    (with_law,) = await one.score(["a court of law"], LAW)
    (without,) = await one.score(["a court of law"])
    assert with_law is not None
    assert without is not None
    assert set(with_law.scores) == {*DOMAINS, "law"}
    assert with_law.scores == with_added(compact, LAW).score(["a court of law"])[0].scores
    assert without == compact.score(["a court of law"])[0]


async def test_texts_with_other_added_domains_go_apart(compact: CompactRouter) -> None:
    one = Worker(compact, 8, 4096)
    asked: list[tuple[AddedDomain, ...]] = [(), (), LAW, LAW, MUSIC, ()]
    found = await asyncio.gather(*(one.score(["why"], domains) for domains in asked))
    for domains, (scores,) in zip(asked, found, strict=True):
        assert scores is not None
        assert set(scores.scores) == {*DOMAINS, *(domain.name for domain in domains)}


async def test_domains_are_fitted_once_for_all_calls(compact: CompactRouter) -> None:
    one = Worker(compact, 8, 4096)
    for _ in range(3):
        await one.score(["why"], LAW)
        await one.score(["why"], MUSIC)
        await one.score(["why"])
    assert one._with.cache_info().misses == 3


async def test_where_domains_cannot_be_added_the_router_s_own_go_on(caplog: pytest.LogCaptureFixture) -> None:
    one = worker(Recorder())  # it has no embeddings
    with caplog.at_level(logging.ERROR, "ray.serve"):
        assert tops(await one.score(["math"], LAW)) == ["math"]
        assert tops(await one.score(["health"], LAW)) == ["health"]
    assert caplog.text.count("law cannot be added") == 1, "said once"

"""The one thread that works on a router, and the queue of texts before it."""

import asyncio
import functools
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from modem.errors import ConfigError
from modem.routing.base import Router
from modem.routing.batching import guess_tokens, how_many
from modem.types import AddedDomain, DomainScores

logger = logging.getLogger("ray.serve")

Added = tuple[AddedDomain, ...]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One text, and where its scores go."""

    text: str
    added: Added
    scores: "asyncio.Future[DomainScores | None]"


class Worker:
    """Scores texts of concurrent calls together, off the event loop.

    Texts wait while others are scored, and then go together up to a budget. Those that nobody waits for
    any more are left out.

    Args:
        router: Called from one thread.
        max_texts: That go together.
        max_tokens: The same, padding included; counted by a guess.
        wait_s: Longest that texts wait for others although the router is free.
    """

    def __init__(self, router: Router, max_texts: int, max_tokens: int, wait_s: float = 0.0) -> None:
        self._router = router
        self._max_texts = max_texts
        self._max_tokens = max_tokens
        self._wait_s = wait_s
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "router")
        self._work: asyncio.Task[None] | None = None
        # Gateways that take new settings one after the other send two sets for a while.
        self._with = functools.lru_cache(maxsize=4)(self._add)

    async def score(self, texts: Sequence[str], added: Added = ()) -> list[DomainScores | None]:
        """Score each text.

        Args:
            texts: Any.
            added: Domains to score besides the router's own.

        Returns:
            One for each text, in order; None for a text on which the router failed.
        """
        loop = asyncio.get_running_loop()
        own = [_Waiting(text, added, loop.create_future()) for text in texts]
        self._waiting.extend(own)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._work_while_texts_wait())
        return await asyncio.gather(*(one.scores for one in own))

    async def _work_while_texts_wait(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._wait_s and self._num_next() == len(self._waiting):
                await asyncio.sleep(self._wait_s)
            batch = self._take()
            if not batch:
                continue
            texts = [one.text for one in batch]
            found = await loop.run_in_executor(self._thread, self._score, texts, batch[0].added)
            for one, scores in zip(batch, found, strict=True):
                if not one.scores.done():
                    one.scores.set_result(scores)

    def _take(self) -> list[_Waiting]:
        """Remove from the queue what is scored next."""
        self._waiting = deque(one for one in self._waiting if not one.scores.done())
        return [self._waiting.popleft() for _ in range(self._num_next())]

    def _num_next(self) -> int:
        """Count the texts at the head of the queue that go together; they have the same added domains."""
        alike = itertools.takewhile(lambda one: one.added == self._waiting[0].added, self._waiting)
        return how_many((guess_tokens(one.text) for one in alike), self._max_texts, self._max_tokens)

    def _score(self, texts: list[str], added: Added) -> list[DomainScores | None]:
        """Score texts in the worker's thread. Where that fails, score each, so that one fails alone."""
        try:
            return _all(self._with(added), texts)
        except Exception as error:  # a router may raise anything
            logger.warning("the router failed on %d texts: %s", len(texts), error, exc_info=len(texts) == 1)
            if len(texts) == 1:
                return [None]
        return [scores for text in texts for scores in self._score([text], added)]

    def _add(self, added: Added) -> Router:
        """Return the router that knows the added domains too. Takes up to a second.

        Where they cannot be added the router's own go on: a wrong example must not stop them all.
        """
        if not added:
            return self._router
        from modem.routing.added import with_added

        try:
            return with_added(self._router, added)
        except ConfigError as error:
            logger.error("%s cannot be added: %s", ", ".join(one.name for one in added), error)
            return self._router


def _all(router: Router, texts: list[str]) -> list[DomainScores | None]:
    found = router.score(texts)
    if len(found) != len(texts):
        raise ValueError(f"it gave {len(found)} answers to {len(texts)} texts")
    return [*found]

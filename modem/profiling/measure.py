"""Measures a running expert: how it reads prompts alone and together, how it writes for many at once."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from modem.errors import ConfigError
from modem.profiling.client import Answer, ExpertClient, RefusedError
from modem.profiling.fits import Step, decode_step, places
from modem.profiling.scrape import Published, read_metrics

NUM_AT_ONCE = 4
_WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school")
_SHORT = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask.

    Attributes:
        prompt_words: Lengths of prompts in words; ascending, at least two. Tokens are counted by the server.
        batches: Numbers of requests at once; ascending.
        answer_tokens: Length of the answers that are written at once; at least two.
        rounds: How often each is asked.
    """

    prompt_words: tuple[int, ...] = (16, 64, 256, 768)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    answer_tokens: int = 64
    rounds: int = 3

    @property
    def num_requests(self) -> int:
        """Requests of the whole plan, the first one included."""
        return 1 + self.rounds * (len(self.prompt_words) + NUM_AT_ONCE + sum(self.batches))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured.

    Attributes:
        alone: Answers of one token to prompts of at least two lengths, one at a time.
        at_once: The same to `NUM_AT_ONCE` prompts of the greatest length together, round by round.
        steps: Decoding, for each number of requests and round; at least one.
        published: What the expert's metrics tell.
        refused: Why no more requests were sent at once, if it was the server that would not take them.
    """

    alone: tuple[Answer, ...]
    at_once: tuple[tuple[Answer, ...], ...]
    steps: tuple[Step, ...]
    published: Published
    refused: str = ""


async def measure(
    client: ExpertClient,
    plan: Plan,
    rng: random.Random,
    progress: Callable[[int, int], None],
    check: Callable[[Published], object] = lambda published: None,
) -> Measurement:
    """Ask for all that the plan says.

    The first request wakes a sleeping expert and warms it up; it is not counted. Each prompt begins
    differently, so that no cache of prefixes helps.

    Args:
        client: The expert; nobody else should be using it meanwhile.
        plan: What to ask.
        rng: Draws the prompts.
        progress: Called with the requests done and of all.
        check: Called with what the expert's metrics tell; what it raises ends the measurement early.

    Raises:
        ConfigError: The expert cannot be measured; the message says why.
    """
    run = _Run(client, plan, rng, progress)
    try:
        await run.together(1, _SHORT, 2)
        published = read_metrics(await client.metrics())
        check(published)
        words = await run.accepted_words()
        alone = [one for _ in range(plan.rounds) for num in words for one in await run.together(1, num, 1)]
        at_once = [await run.together(NUM_AT_ONCE, words[-1], 1) for _ in range(plan.rounds)]
        steps, refused = await run.decoding()
    except RefusedError as error:
        raise ConfigError(
            f"{client.url}: cannot be measured: refuses {NUM_AT_ONCE} requests or fewer: {error}"
        ) from None
    return Measurement(tuple(alone), tuple(at_once), tuple(steps), published, refused)


class _Run:
    """One measurement under way; see `measure` for the arguments."""

    def __init__(
        self, client: ExpertClient, plan: Plan, rng: random.Random, progress: Callable[[int, int], None]
    ) -> None:
        self._client = client
        self._plan = plan
        self._rng = rng
        self._progress = progress
        self._done = 0

    async def together(self, number: int, num_words: int, num_tokens: int) -> tuple[Answer, ...]:
        """Ask so many prompts at once; the first error ends them all."""
        tasks = [asyncio.ensure_future(self._ask(num_words, num_tokens)) for _ in range(number)]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def accepted_words(self) -> list[int]:
        """Try each length of prompts; return those that the expert takes.

        Raises:
            ConfigError: Fewer than two.
        """
        accepted: list[int] = []
        refused = ""
        for num_words in self._plan.prompt_words:
            try:
                await self._ask(num_words, 1)
            except RefusedError as error:
                refused = str(error)
                break
            accepted.append(num_words)
        if len(accepted) < 2:
            raise ConfigError(
                f"{self._client.url}: refuses prompts of {self._plan.prompt_words[len(accepted)]} words, and "
                f"a speed needs two lengths: {refused}; give shorter --prompt-words"
            )
        return accepted

    async def decoding(self) -> tuple[list[Step], str]:
        """Raise the number of requests at once, until the engine is full or the server refuses more.

        Returns:
            What was measured, and why the server refused more, if it did.
        """
        steps: list[Step] = []
        for batch in self._plan.batches:
            try:
                steps += [decode_step(await self._decode(batch)) for _ in range(self._plan.rounds)]
            except RefusedError as error:
                if not steps:
                    raise
                return steps, str(error)
            if places(steps) is not None:
                break
        self._progress(self._plan.num_requests, self._plan.num_requests)
        return steps, ""

    async def _decode(self, batch: int) -> tuple[Answer, ...]:
        return await self.together(batch, _SHORT, self._plan.answer_tokens)

    async def _ask(self, num_words: int, num_tokens: int) -> Answer:
        answer = await self._client.ask(_prompt(num_words, self._rng), num_tokens)
        self._done += 1
        self._progress(min(self._done, self._plan.num_requests), self._plan.num_requests)
        return answer


def _prompt(num_words: int, rng: random.Random) -> str:
    """Return a prompt of so many words that begins as no other does."""
    return " ".join([str(rng.getrandbits(64)), *rng.choices(_WORDS, k=num_words - 1)])

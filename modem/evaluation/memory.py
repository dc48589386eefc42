"""Computing once what several strategies ask for."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """A function from texts to answers that remembers the answer to each text.

    Args:
        answer: The function; one answer for each text, in order.

    Attributes:
        saved_s: Seconds that the answers it gave from memory once took.
    """

    def __init__(self, answer: Callable[[Sequence[str]], Sequence[T]]) -> None:
        self._answer = answer
        self._known: dict[str, T] = {}
        self._seconds: dict[str, float] = {}
        self._on = True
        self.saved_s = 0.0

    def __call__(self, texts: Sequence[str]) -> list[T]:
        """Answer for each text."""
        if not self._on:
            return list(self._answer(texts))
        self.saved_s += sum(self._seconds.get(text, 0.0) for text in dict.fromkeys(texts))
        self._learn([text for text in dict.fromkeys(texts) if text not in self._known])
        return [self._known[text] for text in texts]

    @contextmanager
    def off(self) -> Iterator[None]:
        """Ask the function itself for a while: for timing."""
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def _learn(self, texts: Sequence[str]) -> None:
        if not texts:
            return
        started = time.perf_counter()
        self._known.update(zip(texts, self._answer(texts), strict=True))
        each = (time.perf_counter() - started) / len(texts)
        self._seconds.update(dict.fromkeys(texts, each))

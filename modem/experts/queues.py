"""How many requests this gateway has at each expert, for people who look at it from outside."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Ended = Callable[[], None]
"""Says that a request has ended; further calls change nothing."""


class Queues:
    """Counts requests by the expert's application: those that wait for a replica, and those that one has.

    What waits inside an engine counts as running: only the engine knows better.
    """

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._running: Counter[str] = Counter()

    def num_waiting(self, application: str) -> int:
        """Return how many have no replica yet."""
        return self._waiting[application]

    def num_running(self, application: str) -> int:
        """Return how many a replica has, up to the end of their answers."""
        return self._running[application]

    @contextmanager
    def waiting(self, application: str) -> Iterator[None]:
        """Count a request that waits for a replica, while the block lasts."""
        self._waiting[application] += 1
        try:
            yield
        finally:
            self._waiting[application] -= 1

    def runs(self, application: str) -> Ended:
        """Count a request that a replica has; return what to call at its end."""
        self._running[application] += 1
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._running[application] -= 1

        return end

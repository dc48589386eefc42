"""What happens next: a queue of things to do at a time."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

Action = Callable[[float, Any], None]
"""Takes the time and what it was scheduled with."""

ENGINE, LIFE, REPORT, TICK, LOOK = range(5)
"""What is due at one time is done in this order, so that the order of scheduling does not matter: engines
first, then replicas' lives, then reports, and the control loop sees all of it; who looks on comes last."""


class Events:
    """A queue ordered by time, rank, and order of scheduling."""

    __slots__ = ("_heap", "_number")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Action, Any]] = []
        self._number = 0

    def at(self, t_s: float, rank: int, action: Action, argument: Any = None) -> None:
        """Schedule an action."""
        self._number += 1
        heappush(self._heap, (t_s, rank, self._number, action, argument))

    def next_s(self) -> float:
        """Return when the next action is due; there must be one."""
        return self._heap[0][0]

    def pop(self) -> tuple[float, int, int, Action, Any]:
        """Take the next action out; time first, action and argument last."""
        return heappop(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

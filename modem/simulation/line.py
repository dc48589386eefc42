"""The requests of one expert that wait at its gateways for a replica.

They do not leave in the order in which they came. After Ray Serve 2.60 (``max_num_routing_tasks`` and
``_choose_replicas_with_backoff`` in ``serve/_private/request_router/request_router.py``) at most two of them
for each running replica look for a place: twice at once, then after `FIRST_PAUSE_S`, after twice that, and so
on, up to `LONGEST_PAUSE_S`. Nobody tells them of a place that becomes free meanwhile: who looks first has it,
and that may be a request that has just come. Whoever finds a place makes room for the next to look.
"""

from collections import deque
from math import ceil, inf

from modem.simulation.columns import Columns
from modem.simulation.events import LIFE, Events
from modem.simulation.reports import HandleReporter
from modem.simulation.result import Status

LOOKERS_PER_REPLICA = 2
MOST_LOOKERS = 50
FIRST_PAUSE_S = 0.025
LONGEST_PAUSE_S = 0.5
_ROUNDING_S = 1e-9


def _early_looks_s() -> tuple[float, ...]:
    looks, pause_s = [0.0], FIRST_PAUSE_S
    while pause_s < LONGEST_PAUSE_S:
        looks.append(looks[-1] + pause_s)
        pause_s *= 2
    return tuple(looks)


EARLY_LOOKS_S = _early_looks_s()
"""When somebody looks, counted from the first time; after these every `LONGEST_PAUSE_S`."""


def next_look_s(since_s: float, t_s: float) -> float:
    """Return when somebody who has looked since a time looks for the first time at or after ``t_s``."""
    passed_s = t_s - since_s - _ROUNDING_S
    for look_s in EARLY_LOOKS_S:
        if look_s >= passed_s:
            return since_s + look_s
    more = ceil((passed_s - EARLY_LOOKS_S[-1]) / LONGEST_PAUSE_S)
    return max(since_s + EARLY_LOOKS_S[-1] + more * LONGEST_PAUSE_S, t_s)


class WaitingLine:
    """Requests in the order of their arrival, at whatever gateway.

    Args:
        handles: Each gateway's handle, None before its first request; they are told how many wait.
        limit: Requests that may wait at one gateway; -1 for any number.
        patience_s: Longest wait; None for any.
        columns: All requests.
        events: Where the end of the patience is scheduled.
    """

    __slots__ = (
        "_columns",
        "_events",
        "_expiry_s",
        "_handles",
        "_limit",
        "_lookers",
        "_most_lookers",
        "_num_at",
        "_patience_s",
        "_requests",
    )

    def __init__(
        self,
        handles: list[HandleReporter | None],
        limit: int,
        patience_s: float | None,
        columns: Columns,
        events: Events,
    ) -> None:
        self._handles = handles
        self._limit = limit
        self._patience_s = inf if patience_s is None else patience_s
        self._columns = columns
        self._events = events
        self._requests: deque[int] = deque()  # those that do not look yet
        self._lookers: dict[int, float] = {}  # since when; all have come before the others
        self._most_lookers = 0
        self._num_at = [0] * len(handles)
        self._expiry_s = inf

    def __bool__(self) -> bool:
        return bool(self._lookers or self._requests)

    def serve(self, num_replicas: int, t_s: float) -> None:
        """Note how many replicas run: more of them let more requests look."""
        most = min(LOOKERS_PER_REPLICA * num_replicas, MOST_LOOKERS)
        self._most_lookers = most * len(self._handles)
        self._let_look(t_s)

    def join(self, request: int, t_s: float) -> bool:
        """Take a request in; False if too many wait at its gateway."""
        gateway = self._columns.gateway[request]
        if 0 <= self._limit <= self._num_at[gateway]:
            return False
        self._count(gateway, 1)
        self._requests.append(request)
        self._let_look(t_s)
        self._watch(t_s)
        return True

    def next_look_s(self, t_s: float) -> float:
        """Return when the next request looks for a place; infinity if none does."""
        return min((next_look_s(since_s, t_s) for since_s in self._lookers.values()), default=inf)

    def leave(self, t_s: float) -> int:
        """Return the request that looks next; it has a place, and another may look."""
        request = min(self._lookers, key=lambda one: next_look_s(self._lookers[one], t_s))
        del self._lookers[request]
        self._count(self._columns.gateway[request], -1)
        self._let_look(t_s)
        self._watch(t_s)
        return request

    def _let_look(self, t_s: float) -> None:
        while self._requests and len(self._lookers) < self._most_lookers:
            self._lookers[self._requests.popleft()] = t_s

    def _count(self, gateway: int, change: int) -> None:
        self._num_at[gateway] += change
        handle = self._handles[gateway]
        if handle is not None:
            handle.num_queued = self._num_at[gateway]

    def _first(self) -> int:
        """Return the request that has waited longest."""
        return next(iter(self._lookers)) if self._lookers else self._requests[0]

    def _watch(self, t_s: float) -> None:
        """Schedule the end of the patience of who waits longest."""
        if self._patience_s == inf or not self:
            return
        expiry_s = self._columns.t_s[self._first()] + self._patience_s
        if not t_s < self._expiry_s <= expiry_s:
            self._expiry_s = expiry_s
            self._events.at(expiry_s, LIFE, self._expire)

    def _expire(self, t_s: float, _: None) -> None:
        self._expiry_s = inf
        while self and self._columns.t_s[request := self._first()] + self._patience_s <= t_s:
            if self._lookers.pop(request, None) is None:
                self._requests.popleft()
            self._count(self._columns.gateway[request], -1)
            self._columns.close(request, Status.TIMED_OUT)
        self._let_look(t_s)
        self._watch(t_s)

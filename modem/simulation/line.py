"""The requests of one expert that wait at its gateways for a replica."""

from collections import deque
from math import inf

from modem.simulation.columns import Columns
from modem.simulation.events import LIFE, Events
from modem.simulation.reports import HandleReporter
from modem.simulation.result import Status


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
        self._requests: deque[int] = deque()
        self._num_at = [0] * len(handles)
        self._expiry_s = inf

    def __bool__(self) -> bool:
        return bool(self._requests)

    def join(self, request: int, t_s: float) -> bool:
        """Take a request in; False if too many wait at its gateway."""
        gateway = self._columns.gateway[request]
        if 0 <= self._limit <= self._num_at[gateway]:
            return False
        self._count(gateway, 1)
        self._requests.append(request)
        self._watch(t_s)
        return True

    def leave(self, t_s: float) -> int:
        """Return the request that has waited longest; it waits no more."""
        request = self._requests.popleft()
        self._count(self._columns.gateway[request], -1)
        self._watch(t_s)
        return request

    def _count(self, gateway: int, change: int) -> None:
        self._num_at[gateway] += change
        handle = self._handles[gateway]
        if handle is not None:
            handle.num_queued = self._num_at[gateway]

    def _watch(self, t_s: float) -> None:
        """Schedule the end of the patience of who waits longest."""
        if self._patience_s == inf or not self._requests:
            return
        expiry_s = self._columns.t_s[self._requests[0]] + self._patience_s
        if not t_s < self._expiry_s <= expiry_s:
            self._expiry_s = expiry_s
            self._events.at(expiry_s, LIFE, self._expire)

    def _expire(self, t_s: float, _: None) -> None:
        self._expiry_s = inf
        while self._requests and self._columns.t_s[self._requests[0]] + self._patience_s <= t_s:
            request = self._requests.popleft()
            self._count(self._columns.gateway[request], -1)
            self._columns.close(request, Status.TIMED_OUT)
        self._watch(t_s)

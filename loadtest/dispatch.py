"""When requests are sent: at their times (open loop), or one after another by users (closed loop)."""

from collections.abc import Callable

import gevent
from gevent import Greenlet
from gevent.event import Event
from gevent.pool import Group

from loadtest.meter import Meter
from loadtest.sender import Prepared, Sender
from modem.load.plan import Plan

CATCH_UP_YIELD = 8
"""A dispatcher that is behind its times lets the others read their answers after so many requests."""


class _Loop:
    """A worker's part of a plan, sent in greenlets of their own."""

    def __init__(
        self,
        plan: Plan,
        worker: int,
        num_workers: int,
        sender: Sender,
        requests: Group,
        meter: Meter,
        start_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._worker, self._num_workers = worker, num_workers
        self._sender = sender
        self._requests = requests
        self._meter = meter
        self._start_s = start_s
        self._clock = clock

    def _spawn(self, prepared: Prepared, intended_s: float | None = None) -> Greenlet:
        """Send a request, which was meant for a time from the start on; None for now."""
        return self._requests.spawn(self._send, prepared, intended_s)

    def _send(self, prepared: Prepared, intended_s: float | None) -> None:
        with self._meter.one_in_flight():
            now_s = self._clock() - self._start_s
            self._sender.send(prepared, now_s if intended_s is None else intended_s, self._meter.sent)


class OpenLoop(_Loop):
    """Sends each request at its time, whatever became of the others.

    Times are absolute, so a late one moves none of those after it. Body and prompt are made before the wait.

    Args:
        plan: Of the whole run.
        worker: Number of this worker, which takes ``plan[worker::num_workers]``.
        num_workers: How many share the plan.
        sender: Sends.
        requests: Group that each request's greenlet joins.
        meter: Told of what is in flight.
        start_s: The run's start on ``clock``.
        clock: Monotonic seconds.
    """

    def run(self) -> None:
        """Send all; return after the last was sent, or when killed."""
        num_late = 0
        for index in range(self._worker, len(self._plan), self._num_workers):
            prepared = self._sender.prepare(self._plan[index])
            at_s = self._start_s + prepared.planned.at_s
            if self._clock() >= at_s:
                num_late += 1
                if num_late % CATCH_UP_YIELD == 0:
                    gevent.sleep(0)
            # A timer may fire early by what the event loop's cached time is behind.
            while (wait_s := at_s - self._clock()) > 0:
                num_late = 0
                gevent.sleep(wait_s)
            self._spawn(prepared, prepared.planned.at_s)


class ClosedLoop(_Loop):
    """Users who wait for each answer before they ask again.

    User ``k`` of ``n`` sends ``plan[k]``, ``plan[k + n]`` and so on, so what it asks does not depend on how
    fast the others are. What it is asking when it is taken away is answered to the end.

    Args:
        plan: Of the whole run.
        worker: Number of this worker.
        num_workers: How many share the users.
        num_users: Most users that there are at once.
        sender: Sends.
        requests: Group that each request's greenlet joins.
        meter: Told of what is in flight.
        start_s: The run's start on ``clock``.
        span_s: How long users ask.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        plan: Plan,
        worker: int,
        num_workers: int,
        num_users: int,
        sender: Sender,
        requests: Group,
        meter: Meter,
        start_s: float,
        span_s: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(plan, worker, num_workers, sender, requests, meter, start_s, clock)
        self._stride = -(-num_users // num_workers) * num_workers  # each worker has as many numbers
        self._end_s = start_s + span_s
        self._free: list[int] = []
        self._num_seats = 0
        self._next: dict[int, int] = {}
        self._over = Event()

    def run(self) -> None:
        """Return when the users' time is over, or when killed."""
        try:
            while (wait_s := self._end_s - self._clock()) > 0:
                gevent.sleep(wait_s)
        finally:
            self._over.set()

    def be_user(self) -> None:
        """Ask one question after another until the end, or until killed: then the last goes on alone."""
        seat = self._take_seat()
        try:
            if self._over.wait(max(self._start_s - self._clock(), 0.0)):
                return
            while not self._over.is_set() and self._next[seat] < len(self._plan):
                prepared = self._sender.prepare(self._plan[self._next[seat]])
                think_s = prepared.planned.turns[0].think_s
                if think_s and self._over.wait(think_s):
                    return
                self._next[seat] += self._stride
                self._spawn(prepared).join()
        finally:
            self._free.append(seat)

    def _take_seat(self) -> int:
        """Return the number of a new user; one that was given back goes on with its questions."""
        if self._free:
            self._free.sort(reverse=True)
            return self._free.pop()
        seat = self._worker + self._num_seats * self._num_workers
        self._num_seats += 1
        self._next[seat] = seat
        return seat

"""Whether the client kept up: how late it was, how long its event loop was busy, how much CPU it took."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import gevent

from modem.load.samples import ClientSample

TICK_S = 0.02
"""Between two looks at the event loop. Fifty a second cost 0.2 % of a core."""


class Meter:
    """Measures one worker.

    Args:
        worker: Its number.
        start_s: The run's start on ``clock``.
        clock: Monotonic seconds.
        cpu_clock: CPU seconds of this process.
    """

    def __init__(
        self,
        worker: int,
        start_s: float,
        clock: Callable[[], float],
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.num_in_flight = 0
        self._worker = worker
        self._start_s = start_s
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._sent: Counter[str] = Counter()
        self._since_s, self._since_cpu_s = clock(), cpu_clock()
        self._lag_max_s = self._lag_sum_s = self._late_max_s = 0.0
        self._num_ticks = 0

    def watch(self) -> NoReturn:
        """Look at the event loop for ever; runs in a greenlet of its own."""
        while True:
            due_s = self._clock() + TICK_S
            gevent.sleep(TICK_S)
            self.lagged(max(self._clock() - due_s, 0.0))

    def lagged(self, lag_s: float) -> None:
        """Count a look."""
        self._lag_max_s = max(self._lag_max_s, lag_s)
        self._lag_sum_s += lag_s
        self._num_ticks += 1

    def sent(self, domain: str, late_s: float) -> None:
        """Count a request that is sent now."""
        self._sent[domain] += 1
        self._late_max_s = max(self._late_max_s, late_s)

    @contextmanager
    def one_in_flight(self) -> Iterator[None]:
        """Count a request or session while it lasts."""
        self.num_in_flight += 1
        try:
            yield
        finally:
            self.num_in_flight -= 1

    def sample(self) -> ClientSample:
        """Return what was since the last call."""
        now_s, cpu_s = self._clock(), self._cpu_clock()
        passed_s = max(now_s - self._since_s, 1e-6)
        sample = ClientSample(
            worker=self._worker,
            t_s=round(now_s - self._start_s, 6),
            lag_max_s=round(self._lag_max_s, 6),
            lag_mean_s=round(self._lag_sum_s / max(self._num_ticks, 1), 6),
            cpu_share=round((cpu_s - self._since_cpu_s) / passed_s, 4),
            in_flight=self.num_in_flight,
            num_sent=self._sent.total(),
            late_max_s=round(self._late_max_s, 6),
            sent=dict(self._sent),
        )
        self._since_s, self._since_cpu_s = now_s, cpu_s
        self._lag_max_s = self._lag_sum_s = self._late_max_s = 0.0
        self._num_ticks = 0
        return sample

"""What gateways' handles and replicas report.

After Ray Serve 2.60 (``RouterMetricsManager``, ``ReplicaMetricsManager``, ``InMemoryMetricsStore``). A handle
records before it sends, a replica sends before it records; a report holds all records of the look-back
window.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf

from modem.simulation.control import HandleReport, ReplicaReport, Sample, Series
from modem.simulation.rhythm import Beat, Rhythm


def prune(series: Series, now_s: float, keep_s: float) -> None:
    """Drop what is older than ``keep_s``, in place."""
    start_s = now_s - keep_s
    drop = 0
    for sample in series:
        if sample.timestamp > start_s:
            break
        drop += 1
    if drop:
        del series[:drop]


class HandleReporter:
    """One gateway's handle for one expert.

    Args:
        handle_id: Its id.
        actor_id: The gateway's process.
        rhythm: When it records and sends.
        begin_s: When it came into being.
        epoch_s: Added to all times that it tells.
        running: The requests that it has at each replica; None where replicas count them.
    """

    __slots__ = (
        "_epoch_s",
        "_queued",
        "_running",
        "_series",
        "actor_id",
        "beat",
        "dormant",
        "handle_id",
        "num_queued",
        "rhythm",
    )

    def __init__(
        self,
        handle_id: str,
        actor_id: str,
        rhythm: Rhythm,
        begin_s: float,
        epoch_s: float,
        running: dict[str, int] | None,
    ) -> None:
        self.handle_id = handle_id
        self.actor_id = actor_id
        self.rhythm = rhythm
        self.beat = Beat(rhythm, begin_s)
        self.num_queued = 0
        self.dormant = False
        self._epoch_s = epoch_s
        self._queued: Series = []
        self._running = running
        self._series: dict[str, Series] = {}

    def record(self, t_s: float) -> None:
        """Record what it has now."""
        now_s = self._epoch_s + t_s
        self._queued.append(Sample(now_s, self.num_queued))
        if self._running:
            for replica_id, number in self._running.items():
                self._series.setdefault(replica_id, []).append(Sample(now_s, number))
        self._prune(now_s)

    def report(self, t_s: float) -> HandleReport:
        """Return what it would send now; without any record, the present numbers."""
        now_s = self._epoch_s + t_s
        self._prune(now_s)
        running: Mapping[str, Series] = {}
        if self._running:
            running = {
                replica_id: list(self._series.get(replica_id) or (Sample(now_s, number),))
                for replica_id, number in self._running.items()
            }
        queued = self._queued.copy() or [Sample(now_s, self.num_queued)]
        return HandleReport(self.handle_id, self.actor_id, now_s, queued, running)

    def began(self, replica_id: str) -> None:
        """Count a request that went to a replica."""
        if self._running is not None:
            self._running[replica_id] = self._running.get(replica_id, 0) + 1

    def ended(self, replica_id: str) -> None:
        """Uncount it."""
        if self._running is not None:
            self._running[replica_id] -= 1

    def keep_replicas(self, replica_ids: Sequence[str]) -> None:
        """Forget replicas that are gone and have no request of this handle."""
        if self._running:
            kept = {name: n for name, n in self._running.items() if n or name in replica_ids}
            self._running.clear()
            self._running.update(kept)

    def is_silent(self) -> bool:
        """Return whether all that it knows is zero."""
        series = (self._queued, *self._series.values())
        return not self.num_queued and not any(sample.value for each in series for sample in each)

    def wake(self, t_s: float) -> HandleReport | None:
        """Take up the rhythm after a pause in which everything was zero.

        Returns:
            The last report that was left out, if one was.
        """
        times, sent_s = self.beat.skip_to(t_s)
        self.dormant = False
        self._queued.extend(Sample(self._epoch_s + time_s, 0) for time_s in times)
        left_out = None
        if sent_s > -inf:
            now_s = self._epoch_s + sent_s
            until_then = [sample for sample in self._queued if sample.timestamp <= now_s]
            prune(until_then, now_s, self.rhythm.keep_s)
            left_out = HandleReport(self.handle_id, self.actor_id, now_s, until_then, {})
        self._prune(self._epoch_s + t_s)
        return left_out

    def _prune(self, now_s: float) -> None:
        prune(self._queued, now_s, self.rhythm.keep_s)
        if self._series:
            for series in self._series.values():
                prune(series, now_s, self.rhythm.keep_s)
            self._series = {name: series for name, series in self._series.items() if series}


class ReplicaReporter:
    """One replica's own reports.

    Args:
        replica_id: Its id.
        rhythm: When it records and sends.
        begin_s: When its process began.
        epoch_s: Added to all times that it tells.
        stats: Returns further metrics at a time, in the order of ``names``; None without any.
        names: Of those metrics.
        counts: Whether it counts its own requests.
    """

    __slots__ = (
        "_counts",
        "_epoch_s",
        "_names",
        "_ongoing",
        "_series",
        "_stats",
        "beat",
        "replica_id",
        "rhythm",
    )

    def __init__(
        self,
        replica_id: str,
        rhythm: Rhythm,
        begin_s: float,
        epoch_s: float,
        stats: Callable[[float], Sequence[float]] | None,
        names: Sequence[str],
        counts: bool,
    ) -> None:
        self.replica_id = replica_id
        self.rhythm = rhythm
        self.beat = Beat(rhythm, begin_s)
        self._epoch_s = epoch_s
        self._stats = stats
        self._names = tuple(names)
        self._counts = counts
        self._ongoing: Series = []
        self._series: list[Series] = [[] for _ in names] if stats is not None else []

    def record(self, t_s: float, num_ongoing: int) -> None:
        """Record what it has now."""
        now_s = self._epoch_s + t_s
        if self._counts:
            self._ongoing.append(Sample(now_s, num_ongoing))
        if self._stats is not None:
            for series, value in zip(self._series, self._stats(t_s), strict=True):
                series.append(Sample(now_s, value))

    def report(self, t_s: float) -> ReplicaReport:
        """Return what it would send now."""
        now_s, keep_s = self._epoch_s + t_s, self.rhythm.keep_s
        prune(self._ongoing, now_s, keep_s)
        stats: Mapping[str, Series] = {}
        if self._series:
            for series in self._series:
                prune(series, now_s, keep_s)
            stats = {name: one.copy() for name, one in zip(self._names, self._series, strict=True) if one}
        return ReplicaReport(self.replica_id, now_s, self._ongoing.copy(), stats)

    def start(self, t_s: float) -> ReplicaReport | None:
        """Begin to follow the rhythm: the replica runs from now on.

        Until now it has recorded that it has no request, and sent that.

        Returns:
            The last report of that time, if there was one.
        """
        times, sent_s = self.beat.skip_to(t_s)
        if self._counts:
            self._ongoing.extend(Sample(self._epoch_s + time_s, 0) for time_s in times)
        if sent_s == -inf:
            return None
        now_s = self._epoch_s + sent_s
        before = [sample for sample in self._ongoing if sample.timestamp < now_s]
        prune(before, now_s, self.rhythm.keep_s)
        return ReplicaReport(self.replica_id, now_s, before, {})

"""When handles and replicas record what they have, and when they send it.

As in Ray Serve 2.60: a value is recorded every ``min(0.2 * look_back_period_s, metrics_interval_s)``, kept
for ``look_back_period_s``, and everything kept is sent every ``metrics_interval_s``.
"""

from dataclasses import dataclass
from math import inf

from modem.serve_config.schema import AutoscalingConfig

_RECORD_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When something is recorded and sent, relative to a beginning.

    Attributes:
        record_s: Seconds between two records.
        send_s: Seconds between two reports.
        keep_s: How long a record is kept.
    """

    record_s: float
    send_s: float
    keep_s: float

    @classmethod
    def of(cls, config: AutoscalingConfig) -> "Rhythm":
        """Return Serve's rhythm for a config."""
        record_s = min(_RECORD_SHARE * config.look_back_period_s, config.metrics_interval_s)
        return cls(record_s, config.metrics_interval_s, config.look_back_period_s)


class Beat:
    """Counts the times of a rhythm from a beginning, without adding up rounding.

    Args:
        rhythm: The rhythm.
        begin_s: The beginning: the first record and the first report.
    """

    __slots__ = ("_begin_s", "_record", "_rhythm", "_send", "next_s", "record_at_s", "send_at_s")

    def __init__(self, rhythm: Rhythm, begin_s: float) -> None:
        self._rhythm = rhythm
        self._begin_s = begin_s
        self._record = self._send = 0
        self.record_at_s = self.send_at_s = self.next_s = begin_s

    def recorded(self) -> None:
        """Go on to the next record."""
        self._record += 1
        self.record_at_s = self._begin_s + self._record * self._rhythm.record_s
        self.next_s = min(self.record_at_s, self.send_at_s)

    def sent(self) -> None:
        """Go on to the next report."""
        self._send += 1
        self.send_at_s = self._begin_s + self._send * self._rhythm.send_s
        self.next_s = min(self.record_at_s, self.send_at_s)

    def skip_to(self, now_s: float) -> tuple[list[float], float]:
        """Leave out what was due before a time.

        Returns:
            The left out times of recording that are not too old, and the last left out time of sending;
            minus infinity without one.
        """
        rhythm = self._rhythm
        # One interval more than is kept: the last report is up to so much older than now.
        oldest_s = now_s - rhythm.keep_s - rhythm.send_s
        self._record = max(self._record, int((oldest_s - self._begin_s) / rhythm.record_s) - 1)
        self.record_at_s = self._begin_s + self._record * rhythm.record_s
        times = []
        while self.record_at_s < now_s:
            times.append(self.record_at_s)
            self.recorded()
        self._send = max(self._send, int((now_s - self._begin_s) / rhythm.send_s) - 1)
        self.send_at_s = self._begin_s + self._send * rhythm.send_s
        last_s = -inf
        while self.send_at_s < now_s:
            last_s = self.send_at_s
            self.sent()
        self.next_s = min(self.record_at_s, self.send_at_s)
        return times, last_s

"""How a run stands while it lasts, read off the lines that it has written so far."""

from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from modem.load.folder import CLIENT, CLUSTER, REQUESTS
from modem.load.outcome import Outcome
from modem.load.record import Record
from modem.load.samples import ClientSample, ExpertSample

RATE_WINDOW_S = 10.0
"""Tokens a second are the mean of so long: shorter ones jump with single answers."""


class Tail:
    """Reads the lines that were added to a file since the last look.

    Args:
        path: May not be there yet. A last line without its end is left for the next look.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> list[bytes]:
        """Return new whole lines."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                found = file.read()
        except OSError:
            return []
        whole = found[: found.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


@dataclass(slots=True)
class Row:
    """One domain so far.

    Attributes:
        num_sent: Requests; that of a second ago.
        outcomes: How those that ended did.
        num_misrouted: Answered by another expert.
        ttft_s: Of the answers, from the intended time.
        tokens: Ends of answers in seconds, with their output tokens, of the last `RATE_WINDOW_S`.
        replicas: Of its expert; None if the server does not tell.
        state: Likewise.
    """

    num_sent: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    num_misrouted: int = 0
    ttft_s: "array[float]" = field(default_factory=lambda: array("d"))
    tokens: deque[tuple[float, int]] = field(default_factory=deque)
    replicas: int | None = None
    state: str | None = None

    @property
    def num_ended(self) -> int:
        """Requests that were answered or failed."""
        return self.outcomes.total()

    @property
    def num_in_flight(self) -> int:
        """Requests under way, as far as it is known."""
        return max(self.num_sent - self.num_ended, 0)

    def ttft_percentile_s(self, percent: float) -> float | None:
        """Return a percentile of the times to first content; None without an answer."""
        return float(np.percentile(np.frombuffer(self.ttft_s), percent)) if self.ttft_s else None

    def tokens_per_s(self, now_s: float) -> float:
        """Return output tokens a second of answers that ended lately."""
        while self.tokens and self.tokens[0][0] < now_s - RATE_WINDOW_S:
            self.tokens.popleft()
        return sum(number for _, number in self.tokens) / min(max(now_s, 1.0), RATE_WINDOW_S)


class Progress:
    """The state of a run, brought up to date by `look`.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.rows: dict[str, Row] = {}
        self.now_s = 0.0
        self.late_max_s = 0.0
        self.lag_max_s = 0.0
        self._requests, self._client, self._cluster = (
            Tail(folder / name) for name in (REQUESTS, CLIENT, CLUSTER)
        )
        self._sent: dict[int, dict[str, int]] = {}

    def look(self) -> None:
        """Read what was written since the last look."""
        for line in self._client.lines():
            self._take_sent(_SENT.decode(line))
        for line in self._requests.lines():
            self._take_record(Record.from_json(line))
        for line in self._cluster.lines():
            expert = _EXPERT.decode(line)
            # Experts that no request is meant for may answer all the same; they have a row when they do.
            if expert.domain in self.rows:
                row = self.rows[expert.domain]
                row.replicas, row.state = expert.replicas, expert.state

    def _take_sent(self, sample: ClientSample) -> None:
        self._sent[sample.worker] = sample.sent
        self.now_s = max(self.now_s, sample.t_s)
        self.late_max_s = max(self.late_max_s, sample.late_max_s)
        self.lag_max_s = max(self.lag_max_s, sample.lag_max_s)
        for domain in sample.sent:
            self._row(domain).num_sent = sum(sent.get(domain, 0) for sent in self._sent.values())

    def _take_record(self, record: Record) -> None:
        row = self._row(record.domain)
        row.outcomes[record.outcome] += 1
        row.num_misrouted += bool(record.misrouted)
        if record.outcome != "ok":
            return
        if record.ttft_s is not None:
            row.ttft_s.append(record.ttft_s)
        row.tokens.append((record.end_s, record.output_tokens or 0))

    def _row(self, domain: str) -> Row:
        return self.rows.setdefault(domain, Row())


_SENT = msgspec.json.Decoder(ClientSample)
_EXPERT = msgspec.json.Decoder(ExpertSample)

"""Which replica of an expert gets the next request, by what this gateway has in flight.

Asking a replica for a place costs two remote calls a request; the gateway's own counts cost
nothing. They are exact with one gateway and an unbiased sample with several, as "least
outstanding requests" is in a fleet of proxies. A replica that is full here, or has just broken, is
passed over; when none is left the caller falls back to asking.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

BROKEN_FOR_S = 5.0
"""How long a replica that broke a connection is passed over: the platform needs about that long to
notice a death and take the replica off its list."""


@dataclass(frozen=True, slots=True)
class Replica:
    """The HTTP address of one replica.

    Attributes:
        host: IP address of its node.
        port: TCP port.
        max_ongoing_requests: Requests that it works on at once.
    """

    host: str
    port: int
    max_ongoing_requests: int


class Balancer:
    """Counts requests in flight per replica and picks the least loaded.

    Args:
        clock: Seconds, monotonic.
        rng: Breaks ties.
    """

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._in_flight: Counter[tuple[str, int]] = Counter()
        self._broken_until: dict[tuple[str, int], float] = {}

    def pick(self, replicas: Iterable[Replica]) -> Replica | None:
        """Return the replica with the fewest requests in flight, or None if all are full or broken."""
        now = self._clock()
        best: list[Replica] = []
        fewest = -1
        for replica in replicas:
            count = self._in_flight[replica.host, replica.port]
            broken = self._broken_until.get((replica.host, replica.port), 0.0) > now
            if broken or count >= replica.max_ongoing_requests or (best and count > fewest):
                continue
            if count == fewest:
                best.append(replica)
            else:
                best, fewest = [replica], count
        return self._rng.choice(best) if best else None

    def began(self, host: str, port: int) -> None:
        """Count a request."""
        self._in_flight[host, port] += 1

    def ended(self, host: str, port: int) -> None:
        """Uncount it. A replica without requests is forgotten, so that counts do not pile up."""
        self._in_flight[host, port] -= 1
        if self._in_flight[host, port] <= 0:
            del self._in_flight[host, port]

    def broke(self, host: str, port: int) -> None:
        """Pass over this replica for `BROKEN_FOR_S`."""
        now = self._clock()
        self._broken_until = {key: until for key, until in self._broken_until.items() if until > now}
        self._broken_until[host, port] = now + BROKEN_FOR_S

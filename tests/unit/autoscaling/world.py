"""One expert with its requests, second by second: enough of a world to see what a policy does in it."""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from modem.autoscaling.base import AnyPolicy, ExpertLoad
from modem.autoscaling.stats import ReplicaStats

PLACES = 16
"""Requests in a replica's batch."""

PROMPT_TOKENS, ANSWER_TOKENS = 500, 200
DECIDES_EVERY_S = 5
STEP_S, STEP_PER_REQUEST_S = 0.02, 0.001


def load(**changes: Any) -> ExpertLoad:
    """An expert with two replicas and some requests."""
    values: dict[str, Any] = {
        "expert": "expert-math/Expert",
        "now_s": 1000.0,
        "running_replicas": 2,
        "target_replicas": 2,
        "min_replicas": 0,
        "max_replicas": 10,
        "ongoing_requests": 10.0,
        "target_ongoing_requests": 8.0,
    }
    return ExpertLoad(**{**values, **changes})


@dataclass
class World:
    """Serve around one expert: replicas start and stop as the policy says, after Serve's delay.

    Attributes:
        policy: Decides every `DECIDES_EVERY_S`.
        rate: Requests a second, at a time.
        service_s: Mean time that a request runs.
        startup_s: What a replica takes to start.
        downscale_delay_s: As in Serve.
        min_replicas: As in Serve.
        max_replicas: As in Serve.
        burstiness: 1 for Poisson arrivals; more for arrivals in clusters of about so many.
        targets: Time and number of each change of the target.
    """

    policy: AnyPolicy
    rate: Callable[[float], float]
    service_s: float = 20.0
    startup_s: float = 60.0
    downscale_delay_s: float = 0.0
    min_replicas: int = 1
    max_replicas: int = 20
    burstiness: float = 1.0
    seed: int = 0
    start_replicas: int = 1
    name: str = "expert"
    targets: list[tuple[float, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.target = self.start_replicas
        self.running = self.start_replicas
        self.starting: list[float] = []
        self.queue: deque[float] = deque()
        self.busy = 0
        self.seen: deque[float] = deque(maxlen=10)
        self.state: Any = None
        self.up_s: float | None = None
        self.down_s: float | None = None
        self.low_since_s: float | None = None
        self.replica_seconds = 0.0

    def run(self, seconds: int, begin_s: int = 0) -> "World":
        for now_s in range(begin_s, begin_s + seconds):
            self.step(float(now_s))
        return self

    def step(self, now_s: float) -> None:
        self._replicas(now_s)
        self._requests(now_s)
        self.replica_seconds += max(self.running, self.target)
        if now_s % DECIDES_EVERY_S:
            return
        decision = self.policy.decide(self.load(now_s), self.state)
        self.state = decision.state
        self._aim(now_s, max(self.min_replicas, min(self.max_replicas, math.ceil(decision.num_replicas))))

    def load(self, now_s: float) -> ExpertLoad:
        ongoing = sum(self.seen) / len(self.seen)
        return ExpertLoad(
            expert=self.name,
            now_s=now_s,
            running_replicas=self.running,
            target_replicas=self.target,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            ongoing_requests=ongoing,
            queued_requests=float(len(self.queue)),
            target_ongoing_requests=PLACES * 0.75,
            downscale_delay_s=self.downscale_delay_s,
            stats=tuple(self._stats() for _ in range(self.running)),
            last_scale_up_s=self.up_s,
            last_scale_down_s=self.down_s,
        )

    def _stats(self) -> ReplicaStats:
        busy = self.busy / self.running
        return ReplicaStats(
            running_requests=busy,
            prefill_tokens=busy * PROMPT_TOKENS * 0.02,
            context_tokens=busy * (PROMPT_TOKENS + ANSWER_TOKENS / 2),
            kv_capacity_tokens=PLACES * 1000,
            max_running_requests=PLACES,
            prefill_tokens_per_s=5000,
            decode_step_s=STEP_S + STEP_PER_REQUEST_S * busy,
            startup_s=self.startup_s,
        )

    def _replicas(self, now_s: float) -> None:
        ready = [at_s for at_s in self.starting if at_s <= now_s]
        self.starting = [at_s for at_s in self.starting if at_s > now_s]
        self.running += len(ready)
        while self.running + len(self.starting) < self.target:
            self.starting.append(now_s + self.startup_s)
        while self.running + len(self.starting) > self.target:
            if self.starting:
                self.starting.pop()
            else:
                self.running -= 1

    def _requests(self, now_s: float) -> None:
        self.busy -= sum(self.rng.random() < 1 / self.service_s for _ in range(self.busy))
        for _ in range(_poisson(self.rng, self.rate(now_s) / self.burstiness)):
            size = 1 if self.burstiness == 1 else 1 + _poisson(self.rng, self.burstiness - 1)
            self.queue.extend([now_s] * size)
        while self.queue and self.busy < self.running * PLACES:
            self.waits.append(now_s - self.queue.popleft())
            self.busy += 1
        self.seen.append(self.busy + len(self.queue))

    def _aim(self, now_s: float, wanted: int) -> None:
        """Serve's delay for steps down; steps up are carried out at once."""
        if wanted >= self.target:
            self.low_since_s = None
        elif self.low_since_s is None:
            self.low_since_s = now_s
        waited = self.low_since_s is not None and now_s - self.low_since_s >= self.downscale_delay_s
        if wanted > self.target or waited:
            self.up_s, self.down_s = (now_s, self.down_s) if wanted > self.target else (self.up_s, now_s)
            self.target, self.low_since_s = wanted, None
            self.targets.append((now_s, wanted))

    def turns(self) -> list[float]:
        """Return when the target changed its direction."""
        found, before = [], 0
        numbers = [self.start_replicas, *(number for _, number in self.targets)]
        for (at_s, number), old in zip(self.targets, numbers, strict=False):
            direction = 1 if number > old else -1
            if before and direction != before:
                found.append(at_s)
            before = direction
        return found


def closest(times: list[float]) -> float:
    """Return the shortest time between two of them."""
    return min((b - a for a, b in pairwise(times)), default=math.inf)


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth's algorithm; means here are small."""
    limit, number, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        number, product = number + 1, product * rng.random()
    return number

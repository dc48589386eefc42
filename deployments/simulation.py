"""Serve's own control loop for the simulator, and how long each of its answers stands.

`deployments.serve_decisions` decides. Here is what the simulator asks besides
(`modem.simulation.control.Controller`): until when a decision could only be repeated, so that calls can be
left out.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, inf

from deployments.serve_decisions import Clock, ServeDecisions, simulated_time
from modem.autoscaling.pool import POOLS
from modem.simulation.bounds import ROUNDING_S, Bounds, Zones, bounds_of, total_bounds, window_start_s
from modem.simulation.control import HOLDS_UNTIL, HandleReport, ReplicaReport
from modem.simulation.setup import ExpertSetup

_SLACK_S = 1e-3
"""The end of a delay, or of a policy's holding, is looked at so much earlier than computed: asking once too
often changes nothing, and a rounding of large times is far less."""


@contextmanager
def serve_controllers() -> Iterator["ServeControllers"]:
    """Yield what makes a controller for an expert; Serve's code sees simulated time meanwhile.

    See `deployments.serve_decisions.simulated_time`.
    """
    with simulated_time() as clock:
        yield ServeControllers(clock)


class ServeControllers:
    """Makes controllers that share a clock (`modem.simulation.control.ControllerFactory`).

    Args:
        clock: The time that Serve's code sees.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def reset(self) -> None:
        """Forget the pools of GPUs that policies share within a process."""
        POOLS.clear()

    def __call__(self, setup: ExpertSetup) -> "ServeController":
        """Return a controller that knows nothing yet.

        Raises:
            ConfigError: As `ServeController` does.
        """
        return ServeController(setup, self._clock)


class ServeController:
    """One expert's decisions, by Serve's code (`modem.simulation.control.Controller`).

    Args:
        setup: The expert; it must have ``autoscaling``.
        clock: The time that Serve's code sees.

    Raises:
        ConfigError: Serve refuses the settings, or the policy cannot be imported or built.
    """

    def __init__(self, setup: ExpertSetup, clock: Clock) -> None:
        self.serve = ServeDecisions(setup, clock)
        self._clock = clock
        self._running: tuple[str, ...] = ()
        self._queued: dict[str, Bounds] = {}
        self._handle_running: dict[str, Mapping[str, Bounds]] = {}
        self._ongoing: dict[str, Bounds] = {}
        self._new_handles: dict[str, HandleReport] = {}
        self._new_replicas: dict[str, ReplicaReport] = {}
        self._handle_sent_s: dict[str, float] = {}
        self._replica_sent_s: dict[str, float] = {}
        self._zones: dict[tuple[int, int], Zones] = {}
        self._is_fresh = True
        self._was_cold = False
        self._cold_replicas = ceil(self.serve.config.get_upscaling_factor())

    def first_target(self) -> int:
        """Return ``initial_replicas``, or ``min_replicas`` without it."""
        return self.serve.first_target

    def record_handle(self, report: HandleReport) -> None:
        """Take a handle's report; Serve's code gets it, if no newer one comes before, with the next round."""
        if report.sent_s <= self._handle_sent_s.get(report.handle_id, -inf):
            return
        self._handle_sent_s[report.handle_id] = report.sent_s
        self._new_handles[report.handle_id] = report
        if report.queued:
            self._queued[report.handle_id] = bounds_of(report.queued)
        if report.running or report.handle_id in self._handle_running:
            self._handle_running[report.handle_id] = {n: bounds_of(s) for n, s in report.running.items() if s}
        self._is_fresh = True

    def record_replica(self, report: ReplicaReport) -> None:
        """Take a replica's report, as `record_handle` does."""
        if report.sent_s <= self._replica_sent_s.get(report.replica_id, -inf):
            return
        self._replica_sent_s[report.replica_id] = report.sent_s
        self._new_replicas[report.replica_id] = report
        if report.ongoing:
            self._ongoing[report.replica_id] = bounds_of(report.ongoing)
        else:
            self._ongoing.pop(report.replica_id, None)
        self._is_fresh = True

    def set_running(self, replica_ids: Sequence[str]) -> None:
        """Say which replicas run."""
        self._running = tuple(replica_ids)
        self.serve.set_running(replica_ids)
        self._is_fresh = True

    def replica_stopped(self, replica_id: str) -> None:
        """Forget a replica."""
        for kept in (self._new_replicas, self._ongoing, self._replica_sent_s):
            kept.pop(replica_id, None)
        self.serve.replica_stopped(replica_id)
        self._is_fresh = True

    def drop_stale(self, now_s: float, alive_actor_ids: Collection[str]) -> None:
        """Forget handles that are dead or silent."""
        self._set_time(now_s)
        self.serve.drop_stale(alive_actor_ids)
        for handle_id in [h for h in self._handle_sent_s if not self.serve.has_handle(h)]:
            for kept in (self._queued, self._handle_running, self._handle_sent_s):
                kept.pop(handle_id, None)
            self._is_fresh = True

    def decide(self, now_s: float, target: int) -> int:
        """Ask Serve's code, and so the policy."""
        self._set_time(now_s)
        decision = self.serve.decide(target)
        self._is_fresh = False
        self._was_cold = not (self.serve.is_of_application or self._running) and self.serve.last_total > 0
        return decision

    def scaled(self, now_s: float, old: int, new: int) -> None:
        """Note the time of a change."""
        self._clock.now_s = now_s
        self.serve.scaled(up=new > old)

    def _set_time(self, now_s: float) -> None:
        """Let it be a time, and give Serve's code the reports that have come before it."""
        self._clock.now_s = now_s
        if self._new_handles or self._new_replicas:
            self.serve.take(list(self._new_handles.values()), list(self._new_replicas.values()))
            self._new_handles.clear()
            self._new_replicas.clear()

    # --- how long an answer stands

    def wake_s(self, now_s: float, target: int) -> float:
        """Return a time before which calls of `decide` would only repeat its answer."""
        if self.serve.is_of_application:
            # While no replica runs, what the policy's answer is good for depends on whether requests wait.
            return now_s if self._is_fresh and not self._running else self._wake_held(now_s, target)
        sources = self._sources()
        if not self._running and any(source.high for source in sources):
            # Serve's cold path: it asks no deployment's policy and leaves no trace.
            return inf if target >= self._cold_replicas and self._surely_positive(sources) else now_s
        if not self.serve.is_default:
            return self._wake_held(now_s, target)
        if not self._running:
            return inf if target or not self.serve.delay[0] else now_s
        return self._wake_default(now_s, target, sources)

    def _sources(self) -> list[Bounds]:
        """Return the series that Serve would merge, as ``get_total_num_requests`` chooses them."""
        found = [self._ongoing[name] for name in self._running if name in self._ongoing]
        if not found:
            for running in self._handle_running.values():
                found += [bounds for name, bounds in running.items() if name in self._running]
        return [*found, *self._queued.values()]

    def _surely_positive(self, sources: Sequence[Bounds]) -> bool:
        # The last value always has a part in a mean and a maximum.
        return self.serve.config.aggregation_function != "min" and any(source.last for source in sources)

    def _wake_held(self, now_s: float, target: int) -> float:
        """For any policy: it says itself how long its number stands; then only a delay can end."""
        held_s = float(self.serve.policy_state.get(HOLDS_UNTIL, -inf)) - _SLACK_S
        if held_s <= now_s or self._was_cold:
            return now_s
        return float(min(held_s, self._delay_end_s(target, self.serve.delay[0])))

    def _wake_default(self, now_s: float, target: int, sources: Sequence[Bounds]) -> float:
        """For Serve's own policy: it rises with the total, and the total has bounds."""
        low, high = total_bounds(sources)
        end_s = self._end_within(low, high, now_s, target)
        if end_s > now_s or self._is_fresh:
            return end_s
        # No report since the last decision: the total only drifts from what it was then to the last values.
        until_s = now_s + float(self.serve.config.metrics_interval_s)
        total = self.serve.last_total
        drifted = total
        if self.serve.config.aggregation_function == "mean":
            window_s = now_s - window_start_s(sources) - ROUNDING_S
            if window_s <= ROUNDING_S:
                return now_s
            last = sum(source.last for source in sources)
            ahead_s = until_s - now_s
            drifted += (last - total) * ahead_s / (window_s + ahead_s)
        lower, higher = min(total, drifted), max(total, drifted)
        return min(self._end_within(lower, higher, now_s, target), until_s)

    def _end_within(self, low: float, high: float, now_s: float, target: int) -> float:
        """Return when the answer may change while the total stays within bounds; now if it may at once."""
        direction = self._direction(low * (1 - 1e-9), target)
        if direction != self._direction(high * (1 + 1e-9), target):
            return now_s
        pending = self.serve.delay[0]
        if not direction:
            return now_s if pending else inf
        if direction * pending < 0:
            return now_s  # the delay that runs is reset at the very next round
        if self._is_clipped(target, direction):
            return inf  # what it asks for is clipped, and its delay is reset when it turns
        return self._delay_end_s(target, direction) if pending else now_s

    def _direction(self, total: float, target: int) -> int:
        """Return whether Serve's policy would want more than the target (1), less (-1) or neither (0)."""
        key = (len(self._running), target)
        zones = self._zones.get(key)
        if zones is None:
            zones = self._zones[key] = Zones()
        known = zones.find(total)
        if known is None:
            number = self.serve.wanted_by_serve(total, len(self._running), target)
            known = (number > target) - (number < target)
            zones.add(total, known)
        return known

    def _delay_end_s(self, target: int, direction: int) -> float:
        """Return when the delay that runs is over; infinity if none does or its end has no effect."""
        started_s = self.serve.delay[1]
        if not direction or started_s is None or self._is_clipped(target, direction):
            return inf
        config = self.serve.config
        delay_s = config.upscale_delay_s if direction > 0 else config.downscale_delay_s
        if direction < 0 and target == 1 and config.downscale_to_zero_delay_s is not None:
            delay_s = config.downscale_to_zero_delay_s
        return float(started_s + delay_s - _SLACK_S)

    def _is_clipped(self, target: int, direction: int) -> bool:
        """Return whether the bounds take away whatever is wanted in a direction."""
        least, most = self.serve.bounds
        return target >= most if direction > 0 else target <= least

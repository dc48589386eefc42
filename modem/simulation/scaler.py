"""The control of one expert: what its controller is told, when, and what becomes of its answers."""

from math import inf
from typing import Protocol

import numpy as np

from modem.simulation.control import Controller, HandleReport, ReplicaReport
from modem.simulation.events import REPORT, Events
from modem.simulation.fleet import Fleet
from modem.simulation.replica import STAT_NAMES, Replica, State
from modem.simulation.reports import HandleReporter, ReplicaReporter
from modem.simulation.result import Decision
from modem.simulation.rhythm import Rhythm
from modem.simulation.setup import Platform

DEFAULT_POLICY = "ray.serve.autoscaling_policy:default_autoscaling_policy"


class Rounds(Protocol):
    """What a scaler needs to know of the control loop's rounds."""

    platform: Platform
    events: Events
    every_tick: bool

    def need(self, t_s: float) -> None:
        """Ask for a round at the first possible time from ``t_s`` on."""
        ...

    def unseen_s(self, t_s: float) -> float:
        """Return the first time from ``t_s`` on at which a round may look."""
        ...


class Scaler:
    """The control of one expert: its controller, its target, its reports.

    Args:
        fleet: The expert.
        controller: Decides for it.
        loop: The rounds.
        rng: Draws when reporters begin, so that they do not all report at one time.
    """

    def __init__(self, fleet: Fleet, controller: Controller, loop: Rounds, rng: np.random.Generator) -> None:
        config = fleet.setup.autoscaling
        assert config is not None
        self.fleet = fleet
        self.controller = controller
        self.target = 0
        self.decisions: list[Decision] = []
        self.num_ticks = 0
        self.wake_s = 0.0
        self._is_paused = False
        self._loop = loop
        self._platform = loop.platform
        self._epoch_s = loop.platform.epoch_s
        self._rhythm = Rhythm.of(config)
        self._rng = rng
        self._max_phase_s = config.metrics_interval_s
        policy = fleet.setup.application_policy or config.policy
        fleet.has_stats = policy.policy_function != DEFAULT_POLICY
        fleet.on_ready = loop.need

    # --- rounds

    def begin(self) -> None:
        """Start with the initial replicas, which run already, as after a deployment."""
        self._set_target(self.controller.first_target(), 0.0)
        fleet = self.fleet
        fleet.create(self.target, 0.0)
        for replica in fleet.present:
            replica.cold = False
            if replica.state is State.STARTING:
                replica.ready_s = 0.0
        for replica in fleet.note_ready(0.0):
            self._follow(replica, 0.0, -self._rhythm.keep_s - self._rng.random() * self._max_phase_s)
        self._tell_running()
        if self._platform.handles_at_start:
            for gateway in range(self._platform.num_gateways):
                self._begin_handle(
                    gateway, -self._rhythm.keep_s - self._rng.random() * self._max_phase_s, 0.0
                )

    def reconcile(self, t_s: float) -> None:
        """Notice what has become ready, create and stop replicas for the target."""
        fleet = self.fleet
        ready = fleet.note_ready(t_s)
        for replica in ready:
            self._follow(replica, t_s, replica.placed_s or 0.0)
        missing = self.target - len(fleet.present)
        stopped: list[Replica] = []
        if missing > 0:
            if self._is_paused:
                self._wake_handles(t_s)
            fleet.create(missing, t_s)
        elif missing < 0:
            stopped = fleet.stop(-missing, t_s)
            for replica in stopped:
                self.controller.replica_stopped(replica.replica_id)
        if ready or stopped:
            self._tell_running()

    def decide(self, t_s: float) -> None:
        """Ask the controller, and note its answer for the next round."""
        self.num_ticks += 1
        now_s = self._epoch_s + t_s
        target = self.controller.decide(now_s, self.target)
        if target == self.target:
            self._note_wake(t_s)
            return
        config = self.fleet.setup.autoscaling
        assert config is not None
        if config.min_replicas <= len(self.fleet.accepting) <= config.max_replicas:
            self.controller.scaled(now_s, self.target, target)
        self._set_target(target, t_s)
        self.wake_s = t_s  # the next round sees a new target

    def drop_stale(self, t_s: float) -> None:
        """Let the controller forget handles that are silent; while none is left out, none is."""
        now_s = self._epoch_s + t_s
        self.controller.drop_stale(now_s, {_actor(g) for g in range(self._platform.num_gateways)})

    def _set_target(self, target: int, t_s: float) -> None:
        self.decisions.append(Decision(t_s, self.target, target))
        self.target = target

    def _tell_running(self) -> None:
        names = [replica.replica_id for replica in self.fleet.accepting]
        self.controller.set_running(names)
        for handle in self.fleet.handles:
            if handle is not None:
                handle.keep_replicas(names)
        self.wake_s = -inf

    # --- handles

    def before_arrival(self, gateway: int, t_s: float) -> None:
        """Make a gateway's handle, or end the pause of all of them: a request comes."""
        if self._is_paused:
            self._wake_handles(t_s)
        if self.fleet.handles[gateway] is None:
            self._begin_handle(gateway, t_s, t_s)

    def after_arrival(self, gateway: int, t_s: float) -> None:
        """Let a gateway report at once that a request waits while there is no replica, as Serve's does."""
        handle = self.fleet.handles[gateway]
        if handle is not None and handle.num_queued and not self.fleet.accepting:
            self._send_handle(handle, t_s)

    def _begin_handle(self, gateway: int, begin_s: float, t_s: float) -> None:
        running: dict[str, int] | None = None if self._platform.direct else {}
        name = f"{self.fleet.setup.domain}-handle-{gateway}"
        handle = HandleReporter(name, _actor(gateway), self._rhythm, begin_s, self._epoch_s, running)
        self.fleet.handles[gateway] = handle
        if begin_s < t_s:
            self._wake(handle, t_s)
        else:
            self._schedule_handle(handle)

    def _wake_handles(self, t_s: float) -> None:
        self._is_paused = False
        for handle in self.fleet.handles:
            if handle is not None and handle.dormant:
                self._wake(handle, t_s)

    def _wake(self, handle: HandleReporter, t_s: float) -> None:
        left_out = handle.wake(t_s)
        if left_out is not None:
            there_s = left_out.sent_s - self._epoch_s + self._platform.push_delay_s
            if there_s > t_s:
                self._loop.events.at(there_s, REPORT, self._take_handle, left_out)
            else:
                self._take_handle(t_s, left_out)
        self._schedule_handle(handle)

    def _schedule_handle(self, handle: HandleReporter) -> None:
        self._loop.events.at(handle.beat.next_s, REPORT, self._beat_handle, handle)

    def _beat_handle(self, t_s: float, handle: HandleReporter) -> None:
        beat = handle.beat
        if beat.record_at_s <= t_s:
            handle.record(t_s)
            beat.recorded()
        if beat.send_at_s <= t_s:
            beat.sent()
            self._send_handle(handle, t_s)
            if self._may_pause():
                handle.dormant = self._is_paused = True
                return
        self._schedule_handle(handle)

    def _may_pause(self) -> bool:
        """Return whether all that handles could tell until the next request is zero."""
        if self._loop.every_tick or self.fleet.present:
            return False
        return all(handle is None or handle.is_silent() for handle in self.fleet.handles)

    def _send_handle(self, handle: HandleReporter, t_s: float) -> None:
        report = handle.report(t_s)
        if self._loop.unseen_s(t_s) >= t_s + self._platform.push_delay_s:
            self._take_handle(t_s, report)
        else:
            self._loop.events.at(t_s + self._platform.push_delay_s, REPORT, self._take_handle, report)

    def _take_handle(self, t_s: float, report: HandleReport) -> None:
        self.controller.record_handle(report)
        self._heard(t_s)

    # --- replicas

    def _follow(self, replica: Replica, t_s: float, begin_s: float) -> None:
        """Begin to record and send what a running replica tells."""
        if not self._platform.direct and not self.fleet.has_stats:
            return
        stats = replica.stats if self.fleet.has_stats else None
        names = STAT_NAMES if self.fleet.has_stats else ()
        # A replica that only tells its stats begins when it runs, one that counts requests with its process.
        begin_s = begin_s if self._platform.direct else t_s
        reporter = ReplicaReporter(
            replica.replica_id, self._rhythm, begin_s, self._epoch_s, stats, names, self._platform.direct
        )
        replica.reporter = reporter
        last = reporter.start(t_s)
        if last is not None:
            self.controller.record_replica(last)
        self._loop.events.at(reporter.beat.next_s, REPORT, self._beat_replica, replica)

    def _beat_replica(self, t_s: float, replica: Replica) -> None:
        reporter = replica.reporter
        if reporter is None or replica.state is not State.RUNNING:
            return  # what a stopping replica tells is not looked at
        beat = reporter.beat
        if beat.send_at_s <= t_s:
            beat.sent()
            self._send_replica(reporter, t_s)
        if beat.record_at_s <= t_s:
            beat.recorded()
            reporter.record(t_s, replica.num_ongoing)
        self._loop.events.at(beat.next_s, REPORT, self._beat_replica, replica)

    def _send_replica(self, reporter: ReplicaReporter, t_s: float) -> None:
        report = reporter.report(t_s)
        if self._loop.unseen_s(t_s) >= t_s + self._platform.push_delay_s:
            self._take_replica(t_s, report)
        else:
            self._loop.events.at(t_s + self._platform.push_delay_s, REPORT, self._take_replica, report)

    def _take_replica(self, t_s: float, report: ReplicaReport) -> None:
        self.controller.record_replica(report)
        self._heard(t_s)

    def _heard(self, t_s: float) -> None:
        if self.wake_s <= t_s or self._loop.every_tick:
            return  # the next round asks anyway
        self._note_wake(t_s)
        self._loop.need(max(self.wake_s, t_s))

    def _note_wake(self, t_s: float) -> None:
        now_s = self._epoch_s + t_s
        wake_s = self.controller.wake_s(now_s, self.target)
        # Times on the clock with the epoch are rounded: now must stay now.
        self.wake_s = t_s if wake_s <= now_s else wake_s - self._epoch_s


def _actor(gateway: int) -> str:
    return f"gateway-{gateway}"

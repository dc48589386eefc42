"""The rounds of Serve's control loop, on the simulation's clock.

A round of Serve 2.60's controller (``run_control_loop_step``), every ``loop_interval_s`` plus what the round
itself takes: replicas that have become ready are noticed, replicas are created and stopped for the targets
of the round before, then each expert's policy is asked for a new target.

Rounds in which nothing can change are left out: a controller says how long its answer stands
(`modem.simulation.control.Controller.wake_s`). With ``every_tick`` none is left out.
"""

from math import ceil, inf

import numpy as np

from modem.simulation.control import ControllerFactory
from modem.simulation.events import TICK, Events
from modem.simulation.fleet import Fleet
from modem.simulation.replica import State
from modem.simulation.scaler import Scaler
from modem.simulation.setup import Platform


class ControlLoop:
    """The rounds.

    Args:
        platform: Their timing.
        events: Where they are scheduled.
        every_tick: Leave none out.
    """

    def __init__(self, platform: Platform, events: Events, every_tick: bool) -> None:
        self.platform = platform
        self.events = events
        self.every_tick = every_tick
        self.scalers: list[Scaler] = []
        self._period_s = platform.loop_interval_s + platform.loop_time_s
        self._last = -1
        self._next: int | None = None

    def add(self, fleet: Fleet, make: ControllerFactory, rng: np.random.Generator) -> Scaler:
        """Put an expert under control."""
        scaler = Scaler(fleet, make(fleet.setup), self, rng)
        self.scalers.append(scaler)
        return scaler

    def begin(self) -> None:
        """Start all experts, and the rounds."""
        for scaler in self.scalers:
            scaler.begin()
        self.need(0.0)

    def unseen_s(self, t_s: float) -> float:
        """Return the first time from ``t_s`` on at which a round may look."""
        return self._number(t_s) * self._period_s

    def need(self, t_s: float) -> None:
        """Ask for a round at the first possible time from ``t_s`` on."""
        if t_s == inf or not self.scalers:
            return
        number = max(self._number(t_s), self._last + 1)
        if self._next is None or number < self._next:
            self._next = number
            self.events.at(number * self._period_s, TICK, self._tick, number)

    def _number(self, t_s: float) -> int:
        """Return the number of the first round that is not before ``t_s``."""
        number = max(ceil(t_s / self._period_s), 0)
        while number and (number - 1) * self._period_s >= t_s:
            number -= 1
        while number * self._period_s < t_s:
            number += 1
        return number

    def _tick(self, t_s: float, number: int) -> None:
        if number != self._next:
            return  # an earlier one was asked for since; it has asked again
        self._last, self._next = number, None
        for scaler in self.scalers:
            scaler.reconcile(t_s)
        for scaler in self.scalers:
            if self.every_tick or scaler.wake_s <= t_s:
                scaler.decide(t_s)
        if self.every_tick:
            for scaler in self.scalers:
                scaler.drop_stale(t_s)
            self.need(t_s)
            return
        for scaler in self.scalers:
            self.need(scaler.wake_s)
            if scaler.target != len(scaler.fleet.present):
                self.need(t_s)
            for replica in scaler.fleet.present:
                if replica.state is State.STARTING and replica.ready_s is not None:
                    self.need(replica.ready_s)

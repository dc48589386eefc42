"""Replay a trace against simulated experts under a control loop."""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np

from modem.errors import ConfigError
from modem.simulation.columns import Columns
from modem.simulation.control import ControllerFactory
from modem.simulation.events import LOOK, Events
from modem.simulation.fleet import Fleet
from modem.simulation.loop import ControlLoop
from modem.simulation.pool import GpuPool
from modem.simulation.replica import State
from modem.simulation.result import Decision, ExpertHistory, SimulationResult, Status
from modem.simulation.scaler import Scaler
from modem.simulation.setup import ExpertSetup, Platform
from modem.traces.trace import Trace

NUM_LOOKS = 19
"""At even distances, so that there are twentieths of the trace between them."""


def simulate(
    experts: Sequence[ExpertSetup],
    trace: Trace,
    controller_factory: ControllerFactory,
    seed: int,
    platform: Platform | None = None,
    every_tick: bool = False,
    stop_if: Callable[[SimulationResult], bool] | None = None,
) -> SimulationResult:
    """Return what happens.

    Args:
        experts: Who answers.
        trace: The requests; its domains are among the experts'.
        controller_factory: Makes a controller for each expert that scales; see
            `deployments.simulation.serve_controllers` for Serve's own.
        seed: For start-up times and the phases of reports. The same arguments give the same result.
        platform: What the experts share.
        every_tick: Call the controllers on every tick, also where nothing can change. Slow; the result is
            the same, which the tests show.
        stop_if: Shown what has been found so far, `NUM_LOOKS` times; its True ends the simulation there.

    Raises:
        ConfigError: A domain of the trace has no expert.
    """
    platform = platform or Platform()
    experts = tuple(experts)
    columns = Columns(trace, _expert_of(experts, trace), platform.num_gateways)
    events = Events()
    loop = ControlLoop(platform, events, every_tick)
    pool = GpuPool(platform.gpus)
    fleets, scalers = [], []
    controller_factory.reset()
    for position, setup in enumerate(experts):
        # A generator for each expert and purpose: what one draws does not depend on the others.
        fleet = Fleet(setup, platform, columns, events, pool, np.random.default_rng((seed, position, 0)))
        phases = np.random.default_rng((seed, position, 1))
        scalers.append(loop.add(fleet, controller_factory, phases) if setup.autoscaling else None)
        fleets.append(fleet)
    for fleet, scaler in zip(fleets, scalers, strict=True):
        if scaler is None:
            _begin_fixed(fleet)
    loop.begin()

    def found(end_s: float) -> SimulationResult:
        return SimulationResult(
            experts=experts,
            platform=platform,
            trace=trace,
            requests=columns.log([setup.profile.overhead_s for setup in experts]),
            histories=tuple(_history(f, s) for f, s in zip(fleets, scalers, strict=True)),
            end_s=end_s,
            seed=seed,
        )

    def look(now_s: float, _: object) -> None:
        if stop_if is not None and stop_if(found(now_s)):
            raise _StoppedError(now_s)

    if stop_if is not None:
        for number in range(1, NUM_LOOKS + 1):
            events.at(trace.span_s * number / (NUM_LOOKS + 1), LOOK, look)
    try:
        end_s = _run(trace, columns, events, fleets, scalers, platform)
    except _StoppedError as stopped:
        end_s = stopped.now_s
    for fleet in fleets:
        fleet.close(end_s)
    return found(end_s)


class _StoppedError(Exception):
    """Nobody wants to know the rest."""

    def __init__(self, now_s: float) -> None:
        super().__init__()
        self.now_s = now_s


def _expert_of(experts: Sequence[ExpertSetup], trace: Trace) -> list[int]:
    position = {setup.domain: number for number, setup in enumerate(experts)}
    missing = [domain for domain in trace.domains if domain not in position]
    if missing:
        raise ConfigError(
            f"the trace has requests for {missing[0]!r}, which none of the experts answers; "
            f"there are {', '.join(position)}"
        )
    return [position[domain] for domain in trace.domains]


def _begin_fixed(fleet: Fleet) -> None:
    fleet.create(fleet.setup.num_replicas, 0.0)
    for replica in fleet.present:
        replica.cold = False
        if replica.state is State.STARTING:
            replica.ready_s = 0.0
    fleet.note_ready(0.0)


def _run(
    trace: Trace,
    columns: Columns,
    events: Events,
    fleets: list[Fleet],
    scalers: list[Scaler | None],
    platform: Platform,
) -> float:
    """Let time pass until all is answered; returns when that was."""
    times, expert_of, gateway_of, status = columns.t_s, columns.expert, columns.gateway, columns.status
    span_s = trace.span_s
    last_s = span_s + platform.settle_s
    number, total = 0, len(times)
    rejected = int(Status.REJECTED)
    arrival_s = times[0] if total else inf
    while True:
        due_s = events.next_s() if events else inf
        if arrival_s <= due_s:
            if arrival_s == inf:
                return span_s if not columns.num_open else last_s
            expert = expert_of[number]
            scaler = scalers[expert]
            gateway = gateway_of[number]
            if scaler is not None:
                scaler.before_arrival(gateway, arrival_s)
            if fleets[expert].arrive(number, arrival_s):
                columns.num_open += 1
                if scaler is not None:
                    scaler.after_arrival(gateway, arrival_s)
            else:
                status[number] = rejected
            number += 1
            arrival_s = times[number] if number < total else inf
            continue
        if number == total:
            if not columns.num_open and due_s > span_s:
                return span_s
            if due_s > last_s:
                return last_s
        now_s, _, _, action, argument = events.pop()
        action(now_s, argument)
        if number == total and now_s > span_s and not columns.num_open:
            return now_s


def _history(fleet: Fleet, scaler: Scaler | None) -> ExpertHistory:
    decisions = tuple(scaler.decisions) if scaler else (Decision(0.0, 0, fleet.setup.num_replicas),)
    lives = tuple(replica.life() for replica in fleet.replicas)
    return ExpertHistory(decisions, lives, scaler.num_ticks if scaler else 0)

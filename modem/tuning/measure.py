"""What one simulated run of one expert says about its settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from modem.simulation.profile import Profile
from modem.simulation.result import SimulationResult, Status
from modem.slo import Slo, Times

HOUR_S = 3600.0
NUM_BLOCKS = 20
"""Parts of a run's time, for resampling: misses come in bunches, so single requests say too little."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run, within the part of the trace that is looked at.

    Attributes:
        cost_hours: GPU-hours; see `cost_per_replica`.
        num_requests: Requests of each part of the time, shape ``[NUM_BLOCKS]``.
        num_met: Those within each target, shape ``[targets, NUM_BLOCKS]``.
        is_cut: The simulation was ended early; costs are those so far, drawn out to the trace's length, and
            the requests are those whose fate was known.
    """

    cost_hours: float
    num_requests: NDArray[np.int64]
    num_met: NDArray[np.int64]
    is_cut: bool = False

    def shares(self) -> NDArray[np.float64]:
        """Return the share within each target; 1 without requests."""
        return shares_of([self])


def shares_of(runs: Sequence[Run]) -> NDArray[np.float64]:
    """Return the share of all requests of some runs within each target; 1 without requests."""
    total = sum(int(run.num_requests.sum()) for run in runs)
    met = np.sum([run.num_met.sum(axis=1) for run in runs], axis=0)
    return met / total if total else np.ones(len(met))


def cost_per_replica(profile: Profile) -> float:
    """Return the GPUs of a replica; 1 for one that takes none, whose replica-hours count instead."""
    return profile.gpus_per_replica or 1.0


def measure(result: SimulationResult, position: int, slo: Slo, from_s: float = 0.0) -> Run:
    """Look at one expert.

    Args:
        result: The simulation.
        position: Which of its experts.
        slo: The targets.
        from_s: Earlier requests, and what replicas cost before, are left out.
    """
    trace = result.trace
    domain = result.experts[position].domain
    own = trace.domain_index == (trace.domains.index(domain) if domain in trace.domains else -1)
    counts = (trace.t_s >= from_s) & (trace.t_s < known_until_s(result, slo))
    chosen = np.flatnonzero(own & counts)
    block = _block_of(trace.t_s[chosen], from_s, trace.span_s)
    times = _times(result, chosen)
    met = [np.bincount(block[target.met(times)], minlength=NUM_BLOCKS) for target in slo.targets]
    passed_s = max(min(result.end_s, trace.span_s) - from_s, 1e-9)
    drawn_out = (trace.span_s - from_s) / passed_s if result.is_cut else 1.0
    return Run(
        drawn_out * cost_hours(result, position, from_s),
        np.bincount(block, minlength=NUM_BLOCKS),
        np.array(met),
        result.is_cut,
    )


def known_until_s(result: SimulationResult, slo: Slo) -> float:
    """Return before which time of arrival every request's fate is known.

    In a simulation that was cut, what came earlier than the longest limit ago is within the targets by now
    or never will be.
    """
    if not result.is_cut:
        return inf
    return result.end_s - max(limit.most_s for target in slo.targets for limit in target.limits)


def cost_hours(result: SimulationResult, position: int, from_s: float = 0.0) -> float:
    """Return the GPU-hours of one expert from a time on, as far as the simulation came."""
    return held_s(result, position, from_s) * cost_per_replica(result.experts[position].profile) / HOUR_S


def held_s(result: SimulationResult, position: int, from_s: float = 0.0) -> float:
    """Return the seconds for which one expert's replicas held their GPUs, from a time on."""
    held = 0.0
    for life in result.histories[position].replicas:
        if life.placed_s is not None:
            end_s = result.end_s if life.stopped_s is None else min(life.stopped_s, result.end_s)
            held += max(0.0, end_s - max(life.placed_s, from_s))
    return held


def _block_of(t_s: NDArray[np.float64], from_s: float, span_s: float) -> NDArray[np.int64]:
    length_s = max(span_s - from_s, 1e-9) / NUM_BLOCKS
    return np.minimum((t_s - from_s) / length_s, NUM_BLOCKS - 1).astype(np.int64)


def _times(result: SimulationResult, chosen: NDArray[np.int64]) -> Times:
    """Return the times of some requests as `modem.simulation.summary` takes them."""
    trace, log = result.trace, result.requests
    status, t_s = log.status[chosen], trace.t_s[chosen]
    answered = status == Status.ANSWERED
    # A simulation that was cut has answers that had only begun. What is not known of them counts for them.
    begun = result.is_cut & (status == Status.UNFINISHED) & (log.first_s[chosen] <= result.end_s)
    first_s = np.where(answered | begun, log.first_s[chosen], np.nan)
    finish_s = np.where(answered, log.finish_s[chosen], np.nan)
    tokens = trace.output_tokens[chosen]
    itl_s = np.maximum(finish_s - first_s, 0.0) / np.maximum(tokens - 1, 1)
    itl_s = np.where(tokens < 2, np.where(answered, 0.0, np.nan), itl_s)
    return Times(first_s - t_s, np.where(begun, 0.0, itl_s), finish_s - t_s)

"""A simulation over time: replicas, demand, and times to first token, as curves."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.simulation.result import SimulationResult, Status


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A number that changes at times; before the first it is 0.

    Attributes:
        t_s: When it changes, ascending.
        value: What it is from then on.
    """

    t_s: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Waits:
    """Times to the first token of the requests that arrived in each stretch of time.

    Attributes:
        t_s: Middle of each stretch that has answered requests.
        p50_s: Median.
        p99_s: 99th percentile.
    """

    t_s: NDArray[np.float64]
    p50_s: NDArray[np.float64]
    p99_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """One domain over time.

    Attributes:
        wanted: Replicas that the control loop wanted.
        running: Replicas that took requests.
        held: Replicas that held GPUs, starting and stopping ones included.
        demand: Requests that waited or were computed.
        waits: How long the first token took.
    """

    wanted: Steps
    running: Steps
    held: Steps
    demand: Steps
    waits: Waits


def timelines(result: SimulationResult, num_stretches: int = 120) -> tuple[Timeline, ...]:
    """Return the curves of each expert.

    Args:
        result: The simulation.
        num_stretches: Parts of the trace's time in which waits are put together.
    """
    return tuple(_timeline(result, position, num_stretches) for position in range(len(result.experts)))


def _timeline(result: SimulationResult, position: int, num_stretches: int) -> Timeline:
    history, trace, requests = result.histories[position], result.trace, result.requests
    domain = result.experts[position].domain
    own = trace.domain_index == (trace.domains.index(domain) if domain in trace.domains else -1)
    lives = history.replicas
    wanted = Steps(
        np.array([decision.t_s for decision in history.decisions]),
        np.array([float(decision.new) for decision in history.decisions]),
    )
    accepted = own & (requests.status != Status.REJECTED)
    left_s = np.where(np.isnan(requests.finish_s), result.end_s, requests.finish_s)
    return Timeline(
        wanted=wanted,
        running=counted(
            (x.running_s for x in lives), (x.stopping_s for x in lives if x.running_s is not None)
        ),
        held=counted((x.placed_s for x in lives), (x.stopped_s for x in lives if x.placed_s is not None)),
        demand=counted(trace.t_s[accepted].tolist(), left_s[accepted].tolist()),
        waits=_waits(result, own & (requests.status == Status.ANSWERED), num_stretches),
    )


def counted(begins: Iterable[float | None], ends: Iterable[float | None]) -> Steps:
    """Return how many things were there, from the times of their begins and ends; None for never."""
    up = np.array([time for time in begins if time is not None], dtype=np.float64)
    down = np.array([time for time in ends if time is not None], dtype=np.float64)
    times, inverse = np.unique(np.concatenate((up, down)), return_inverse=True)
    changes = np.concatenate((np.ones(len(up)), -np.ones(len(down))))
    totals = np.bincount(inverse, weights=changes, minlength=len(times))
    return Steps(times, np.cumsum(totals))


def _waits(result: SimulationResult, chosen: NDArray[np.bool_], num_stretches: int) -> Waits:
    t_s = result.trace.t_s[chosen]
    ttft_s = result.requests.first_s[chosen] - t_s
    length_s = max(result.trace.span_s, 1e-9) / num_stretches
    stretch = np.minimum((t_s / length_s).astype(np.int64), num_stretches - 1)
    found = np.unique(stretch)
    parts = [ttft_s[stretch == number] for number in found]
    return Waits(
        (found + 0.5) * length_s,
        np.array([float(np.quantile(part, 0.5)) for part in parts]),
        np.array([float(np.quantile(part, 0.99)) for part in parts]),
    )

"""The figures of a simulation, for each domain and in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from modem.simulation.result import Decision, ReplicaLife, SimulationResult, Status

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """When a request counts as served well; one that was not answered never does.

    Attributes:
        ttft_s: Longest time to the first token.
        itl_s: Longest mean time between tokens; None for any.
        e2e_s: Longest time to the end of the answer; None for any.
    """

    ttft_s: float
    itl_s: float | None = None
    e2e_s: float | None = None


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of the requests that were answered; None without any.

    Attributes:
        p50: Half of them took no longer.
        p90: Nine in ten took no longer.
        p99: Ninety-nine in a hundred took no longer.
    """

    p50: float | None
    p90: float | None
    p99: float | None

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Quantiles":
        """Return those of some values."""
        if not len(values):
            return cls(None, None, None)
        p50, p90, p99 = (float(value) for value in np.quantile(values, (0.5, 0.9, 0.99)))
        return cls(p50, p90, p99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one domain got, or all of them, and what that cost.

    Attributes:
        num_requests: Requests of the trace.
        num_answered: Complete answers.
        num_rejected: Refused because too many waited (429).
        num_timed_out: Refused because no replica came in time (503).
        num_killed: Cut off with their replica.
        num_unfinished: Still under way when the simulation ended.
        ttft_s: Seconds to the first token, the waits for a replica and in its engine included.
        itl_s: Mean seconds between the tokens of an answer.
        e2e_s: Seconds to the end of the answer.
        share_within: Share of all requests that met the targets; None without requests.
        goodput_rps: Requests that met the targets, a second of the trace.
        replica_hours: Hours of replicas, from getting their GPUs to giving them back.
        gpu_hours: The same in GPUs.
        cost_usd: The same in money.
        mean_replicas: Replicas that could take requests, on average over time.
        max_replicas: Most of them at once.
        num_starts: Replicas that were started, those at the beginning apart.
        num_cold_starts: Starts while there was no other replica.
        utilisation: Share of the replicas' hours in which their engines had work; None without hours.
        num_decisions: Changes of the number of replicas that was wanted.
        num_turns: Changes from growing to shrinking or back.
    """

    num_requests: int
    num_answered: int
    num_rejected: int
    num_timed_out: int
    num_killed: int
    num_unfinished: int
    ttft_s: Quantiles
    itl_s: Quantiles
    e2e_s: Quantiles
    share_within: float | None
    goodput_rps: float
    replica_hours: float
    gpu_hours: float
    cost_usd: float
    mean_replicas: float
    max_replicas: int
    num_starts: int
    num_cold_starts: int
    utilisation: float | None
    num_decisions: int
    num_turns: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures.

    Attributes:
        targets: What they were held against.
        domains: Of each expert's domain, in the order of the experts.
        total: Of all together.
    """

    targets: Targets
    domains: tuple[tuple[str, Figures], ...]
    total: Figures


@dataclass(frozen=True, slots=True)
class _Usage:
    """What one expert's replicas took; see `Figures`."""

    replica_s: float
    gpu_s: float
    cost_usd: float
    ready_s: float
    busy_s: float
    lives: tuple[ReplicaLife, ...]
    num_starts: int
    num_cold_starts: int
    num_decisions: int
    num_turns: int


def summarize(result: SimulationResult, targets: Targets) -> Summary:
    """Return the figures of a simulation."""
    times = _Times.of(result)
    expert_of = _expert_of_requests(result)
    usages = [_usage(result, position) for position in range(len(result.experts))]
    domains = tuple(
        (setup.domain, _figures(result, times, expert_of == position, (usages[position],), targets))
        for position, setup in enumerate(result.experts)
    )
    everyone = np.ones(len(result.trace), dtype=np.bool_)
    return Summary(targets, domains, _figures(result, times, everyone, usages, targets))


@dataclass(frozen=True, slots=True, eq=False)
class _Times:
    """Columns of seconds; NaN for what did not happen."""

    ttft_s: NDArray[np.float64]
    itl_s: NDArray[np.float64]
    e2e_s: NDArray[np.float64]

    @classmethod
    def of(cls, result: SimulationResult) -> "_Times":
        requests, trace = result.requests, result.trace
        writing_s = np.maximum(requests.finish_s - requests.first_s, 0.0)
        itl_s = writing_s / np.maximum(trace.output_tokens - 1, 1)
        return cls(requests.first_s - trace.t_s, itl_s, requests.finish_s - trace.t_s)


def _expert_of_requests(result: SimulationResult) -> NDArray[np.int64]:
    position = {setup.domain: number for number, setup in enumerate(result.experts)}
    of_domain = np.array([position[domain] for domain in result.trace.domains], dtype=np.int64)
    return of_domain[result.trace.domain_index] if len(result.trace) else np.zeros(0, np.int64)


def _figures(
    result: SimulationResult,
    times: _Times,
    chosen: NDArray[np.bool_],
    usages: Sequence[_Usage],
    targets: Targets,
) -> Figures:
    status = result.requests.status[chosen]
    answered = chosen & (result.requests.status == Status.ANSWERED)
    good = answered & (times.ttft_s <= targets.ttft_s)
    if targets.itl_s is not None:
        good &= (times.itl_s <= targets.itl_s) | (result.trace.output_tokens < 2)
    if targets.e2e_s is not None:
        good &= times.e2e_s <= targets.e2e_s
    number, num_good = int(chosen.sum()), int(good.sum())
    replica_s = sum(usage.replica_s for usage in usages)
    return Figures(
        num_requests=number,
        num_answered=int(answered.sum()),
        num_rejected=int((status == Status.REJECTED).sum()),
        num_timed_out=int((status == Status.TIMED_OUT).sum()),
        num_killed=int((status == Status.KILLED).sum()),
        num_unfinished=int((status == Status.UNFINISHED).sum()),
        ttft_s=Quantiles.of(times.ttft_s[answered]),
        itl_s=Quantiles.of(times.itl_s[answered & (result.trace.output_tokens > 1)]),
        e2e_s=Quantiles.of(times.e2e_s[answered]),
        share_within=num_good / number if number else None,
        goodput_rps=num_good / result.trace.span_s if result.trace.span_s else 0.0,
        replica_hours=replica_s / HOUR_S,
        gpu_hours=sum(usage.gpu_s for usage in usages) / HOUR_S,
        cost_usd=sum(usage.cost_usd for usage in usages),
        mean_replicas=sum(usage.ready_s for usage in usages) / result.end_s if result.end_s else 0.0,
        max_replicas=most_running([life for usage in usages for life in usage.lives]),
        num_starts=sum(usage.num_starts for usage in usages),
        num_cold_starts=sum(usage.num_cold_starts for usage in usages),
        utilisation=sum(usage.busy_s for usage in usages) / replica_s if replica_s else None,
        num_decisions=sum(usage.num_decisions for usage in usages),
        num_turns=sum(usage.num_turns for usage in usages),
    )


def _usage(result: SimulationResult, position: int) -> _Usage:
    history, profile = result.histories[position], result.experts[position].profile
    end_s = result.end_s
    replica_s = ready_s = busy_s = 0.0
    for life in history.replicas:
        if life.placed_s is not None:
            replica_s += (end_s if life.stopped_s is None else min(life.stopped_s, end_s)) - life.placed_s
        if life.running_s is not None:
            ready_s += (end_s if life.stopping_s is None else min(life.stopping_s, end_s)) - life.running_s
        busy_s += life.busy_s
    gpu_s = replica_s * profile.gpus_per_replica
    later = [life for life in history.replicas if life.created_s > 0]
    return _Usage(
        replica_s=replica_s,
        gpu_s=gpu_s,
        cost_usd=gpu_s / HOUR_S * profile.usd_per_gpu_hour,
        ready_s=ready_s,
        busy_s=busy_s,
        lives=history.replicas,
        num_starts=len(later),
        num_cold_starts=sum(life.cold for life in later),
        num_decisions=len(history.decisions) - 1,
        num_turns=num_turns(history.decisions),
    )


def most_running(lives: Sequence[ReplicaLife]) -> int:
    """Return the most replicas that could take requests at one time."""
    ran = [life for life in lives if life.running_s is not None]
    changes = [(life.running_s, 1) for life in ran]
    changes += [(life.stopping_s, -1) for life in ran if life.stopping_s is not None]
    running = most = 0
    for _, change in sorted(changes, key=lambda each: (each[0] or 0.0, each[1])):
        running += change
        most = max(most, running)
    return most


def num_turns(decisions: Sequence[Decision]) -> int:
    """Return how often growing turned into shrinking or the other way round."""
    ups = [decision.new > decision.old for decision in decisions[1:]]
    return sum(a != b for a, b in pairwise(ups))

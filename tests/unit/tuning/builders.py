"""Small problems for the tuner's tests: an expert of which one replica answers two requests a second."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modem.simulation.profile import Startup
from modem.simulation.setup import ExpertSetup, Platform
from modem.slo import Slo, parse_slo
from modem.traces.trace import Arrival, Trace
from modem.tuning.measure import NUM_BLOCKS, Run
from modem.tuning.problem import Problem, Scenario
from modem.tuning.score import Score, Tried
from modem.tuning.settings import PolicyName, Settings
from tests.unit.simulation.builders import expert, profile

SLO = parse_slo("ttft_p90<2s")
SCALES: dict[str, Any] = {
    "min_replicas": 1,
    "max_replicas": 4,
    "target_ongoing_requests": 2,
    "metrics_interval_s": 1,
    "look_back_period_s": 5,
    "upscale_delay_s": 3,
    "downscale_delay_s": 60,
}


def scaled(domain: str = "math", **changes: Any) -> ExpertSetup:
    """An expert that scales, and is quick to start."""
    return expert(domain, {**SCALES, **changes}, profile=profile(startup_s=Startup(samples=(5.0,))))


def burst(domain: str = "math", span_s: float = 240.0, from_s: float = 80.0, seed: int = 0) -> Trace:
    """A request every two seconds, and three a second for a minute: prompts of 0.3 s and answers of 0.5 s."""
    rng = np.random.default_rng(seed)
    steady = np.arange(0.0, span_s, 2.0)
    more = from_s + np.sort(rng.random(180)) * 60
    times = np.sort(np.concatenate((steady, more)))
    return Trace.of([Arrival(float(t), domain, 300, 50) for t in times], span_s)


def problem(slo: Slo = SLO, trace: Trace | None = None, **scaling: Any) -> Problem:
    """One expert with a burst to tune on, and another one that is held out."""
    return Problem(
        scaled(**scaling),
        Platform(),
        slo,
        (Scenario(burst() if trace is None else trace),),
        (Scenario(burst(from_s=120.0, seed=1), 60.0),),
    )


def run_of(cost_hours: float, requests: Sequence[int], *met: Sequence[int]) -> Run:
    """A run whose first parts of time have these requests."""

    def padded(values: Sequence[int]) -> list[int]:
        return [*values, *[0] * (NUM_BLOCKS - len(values))]

    return Run(cost_hours, np.array(padded(requests)), np.array([padded(each) for each in met]))


def tried(
    cost_hours: float,
    budget_used: float,
    by_seed: Sequence[float] | None = None,
    policy: PolicyName = "slo",
    **scaling: Any,
) -> Tried:
    """Settings with a score."""
    seeds = tuple(by_seed if by_seed is not None else (budget_used,))
    values: Mapping[str, Any] = {"min_replicas": 1, **scaling}
    return Tried(Settings(policy, values), Score(cost_hours, 1 - 0.1 * budget_used, budget_used, seeds, 100))

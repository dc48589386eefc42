"""What is tuned: one expert, on its own requests, and how one way to scale it is tried.

Experts share nothing but GPUs: each has its own requests, queue and controller. So as long as there are GPUs
enough, an expert alone on its own requests does what it does among the others, at a fraction of the time.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from modem.simulation.control import ControllerFactory
from modem.simulation.profile import Profile
from modem.simulation.result import SimulationResult
from modem.simulation.setup import ExpertSetup, Platform
from modem.simulation.simulate import simulate
from modem.slo import Slo
from modem.traces.trace import Trace
from modem.tuning.measure import Run, measure
from modem.tuning.settings import Settings, apply, base
from modem.tuning.work import decode_tokens_per_s, prefill_s

Controllers = Callable[[], AbstractContextManager[ControllerFactory]]
"""Yields what makes controllers, such as `deployments.simulation.serve_controllers`. Sent to other processes,
so it must be a function of a module."""

START_WINDOW_S = 600.0
"""A run begins with the replicas that so much of the trace's beginning needs: not the deployment is tried,
but what comes after."""

SPARE = 1.5
"""Times what that beginning needs at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A trace of one expert's requests, and the part of it that counts.

    Attributes:
        trace: The requests; earlier ones than ``from_s`` only bring about the state in which it begins.
        from_s: What comes before is not counted.
    """

    trace: Trace
    from_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One expert to be tuned.

    Attributes:
        setup: The expert, as the config file has it.
        platform: What is around it.
        slo: The targets.
        scenarios: Traces to tune on.
        held_out: Traces, or parts of them, that no choice depends on.
    """

    setup: ExpertSetup
    platform: Platform
    slo: Slo
    scenarios: tuple[Scenario, ...]
    held_out: tuple[Scenario, ...] = ()

    @property
    def domain(self) -> str:
        """Whose expert it is."""
        return self.setup.domain

    @property
    def num_requests(self) -> int:
        """Requests to tune on."""
        return sum(len(scenario.trace) for scenario in self.scenarios)


def try_settings(
    problem: Problem,
    settings: Settings,
    scenario: Scenario,
    seed: int,
    make: ControllerFactory,
    stop_if: Callable[[SimulationResult], bool] | None = None,
) -> Run:
    """Run one scenario once.

    Raises:
        ConfigError: The settings are not allowed, or the policy cannot be built.
    """
    setup = started(apply(problem.setup, settings), scenario.trace)
    result = simulate([setup], scenario.trace, make, seed, problem.platform, stop_if=stop_if)
    return measure(result, 0, problem.slo, scenario.from_s)


def started(setup: ExpertSetup, trace: Trace) -> ExpertSetup:
    """Return an expert that begins with the replicas which the beginning of a trace needs."""
    scaling = base(setup)
    number = max(scaling.min_replicas, min(scaling.max_replicas, first_replicas(setup.profile, trace)))
    return replace(setup, autoscaling=scaling.model_copy(update={"initial_replicas": number}))


def first_replicas(profile: Profile, trace: Trace) -> int:
    """Return the replicas that a trace's beginning needs, by its work; 0 if nothing comes in it."""
    window_s = min(START_WINDOW_S, max(trace.span_s, 1.0))
    early = trace.t_s < window_s
    if not early.any():
        return 0
    work_s = prefill_s(profile, trace.prompt_tokens[early]).sum()
    work_s += (trace.output_tokens[early] - 1).sum() / decode_tokens_per_s(profile)
    return max(1, ceil(SPARE * float(work_s) / window_s))


def requests_of(trace: Trace, domain: str) -> Trace:
    """Return one domain's requests of a trace, on the same clock."""
    position = trace.domains.index(domain) if domain in trace.domains else -1
    own = np.flatnonzero(trace.domain_index == position)
    return replace(
        trace,
        domains=(domain,),
        t_s=trace.t_s[own],
        domain_index=np.zeros(len(own), dtype=np.int64),
        prompt_tokens=trace.prompt_tokens[own],
        output_tokens=trace.output_tokens[own],
        sessions=tuple(trace.sessions[i] for i in own) if trace.sessions else (),
    )


def problems_of(
    experts: Sequence[ExpertSetup],
    platform: Platform,
    slo: Slo,
    scenarios: Sequence[Scenario],
    held_out: Sequence[Scenario] = (),
) -> tuple[Problem, ...]:
    """Return one problem for each expert, with its own requests of each trace."""

    def own(given: Sequence[Scenario], domain: str) -> tuple[Scenario, ...]:
        return tuple(Scenario(requests_of(each.trace, domain), each.from_s) for each in given)

    return tuple(
        Problem(setup, platform, slo, own(scenarios, setup.domain), own(held_out, setup.domain))
        for setup in experts
    )

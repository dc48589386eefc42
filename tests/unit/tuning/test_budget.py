"""GPUs that experts share."""

from math import inf

import pytest

from deployments.simulation import serve_controllers
from modem.errors import ConfigError
from modem.simulation.setup import Platform
from modem.simulation.simulate import simulate
from modem.traces.trace import Arrival, Trace
from modem.tuning.budget import Table, choices_of, fit, most_gpus, shared, within
from modem.tuning.problem import Scenario
from modem.tuning.report import budget_table
from modem.tuning.settings import Settings, apply, base
from modem.tuning.tune import ExpertResult, PolicyResult
from tests.unit.simulation.builders import Factory, expert, profile, trace
from tests.unit.tuning.builders import SLO, burst, scaled, tried

TOGETHER = Trace.of([*burst("math", 160.0, 40.0), *burst("health", 160.0, 60.0, seed=3)], 160.0)
WIDE = Settings("ongoing_requests", {"target_ongoing_requests": 1.0, "upscale_delay_s": 0})
NARROW = Settings("ongoing_requests", {"max_replicas": 1})


def table(gpus: float) -> Table:
    return Table((scaled("math"), scaled("health")), Platform(), SLO, gpus, serve_controllers)


def quiet(done: int, total: int) -> None:
    assert done <= total


def test_the_most_gpus_at_once_are_counted() -> None:
    setups = [expert("math", num_replicas=2), expert("health", profile=profile(gpus_per_replica=4.0))]
    result = simulate(setups, trace((0.0, 10, 10)), Factory(), 0, Platform())
    assert most_gpus(result) == 6


def test_an_expert_never_wants_more_than_there_is() -> None:
    assert within(scaled(), 100) == scaled()
    assert base(within(scaled(), 3)).max_replicas == 3
    small = within(scaled(min_replicas=2, initial_replicas=2), 1)
    assert (base(small).min_replicas, base(small).initial_replicas, base(small).max_replicas) == (1, 1, 1)
    with pytest.raises(ConfigError, match="a replica of domain math takes 1 GPUs"):
        within(scaled(), 0.5)


def test_the_shared_policy_is_around_the_own_one() -> None:
    found = shared(Settings("slo", {"min_replicas": 1}, {"ttft_s": 2.0}), scaled(), 8)
    assert found.params == {
        "num_gpus": 8,
        "gpus_per_replica": 1.0,
        "policy": {"kind": "slo", "ttft_s": 2.0},
    }
    policy = apply(scaled(), found).application_policy
    assert policy is not None
    assert policy.policy_function == "deployments.autoscaling:GpuBudget"


def test_what_may_be_chosen_begins_with_the_best_alone() -> None:
    one, two, three = (tried(float(n), 0.5, min_replicas=n) for n in (1, 2, 3))
    result = ExpertResult(
        "math", 1, 3, (two, three), (PolicyResult("slo", one, None), PolicyResult("slo", two, None))
    )
    assert choices_of(result) == (one.settings, two.settings, three.settings)


def test_a_budget_that_does_not_bind_changes_nothing() -> None:
    found = fit(table(100), [Scenario(TOGETHER)], {"math": [NARROW], "health": [NARROW]}, (0,), 4, quiet)
    assert not found.binds
    assert found.settings == {"math": NARROW, "health": NARROW}
    assert not found.shared
    assert found.most_gpus == found.wanted_gpus == 2
    assert "does not bind" in budget_table(found, None, 100).note


def test_a_budget_that_binds_is_shared_out() -> None:
    choices = {"math": [WIDE, NARROW], "health": [WIDE, NARROW]}
    found = fit(table(3), [Scenario(TOGETHER)], choices, (0,), 5, quiet)
    assert found.binds
    assert found.num_trials == 5
    assert found.wanted_gpus > 3
    assert found.most_gpus <= 3
    assert set(found.scores) == {"math", "health"}
    assert found.worst < inf
    again = fit(table(3), [Scenario(TOGETHER)], choices, (0,), 5, quiet)
    assert again == found
    rows = budget_table(found, found, 3).rows
    assert [row[:2] for row in rows] == [
        (part, name) for part in ("tuned on", "held out") for name in ("math", "health", "all")
    ]


def test_the_replicas_at_the_begin_fit_too() -> None:
    busy = Trace.of([Arrival(t / 10, d, 300, 50) for t in range(300) for d in ("math", "health")], 30.0)
    joint = table(3).run({"math": WIDE, "health": WIDE}, True, 3, [Scenario(busy)], (0,))
    assert joint.most_gpus <= 3
    assert joint.cost_hours > 0

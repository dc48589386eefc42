"""Settings, and the ranges they are searched in."""

from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.autoscaling.catalogue import params_of
from modem.errors import ConfigError
from modem.serve_config.schema import AutoscalingPolicy
from modem.simulation.profile import Decode, Prefill
from modem.slo import parse_slo
from modem.tuning.settings import (
    CLASSES,
    SEARCHED,
    PolicyName,
    Settings,
    apply,
    base,
    present,
)
from modem.tuning.space import Range, rounded, space_of
from tests.unit.simulation.builders import expert, profile
from tests.unit.tuning.builders import SLO, scaled

policies = st.sampled_from(SEARCHED)


class Chooser:
    """Chooses like a trial, from numbers between 0 and 1."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = numbers
        self.names: list[str] = []

    def _next(self, name: str) -> float:
        self.names.append(name)
        return self.numbers[len(self.names) % len(self.numbers)]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low + (high - low) * self._next(name)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return min(high, low + int((high - low + 1) * self._next(name)))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[min(len(choices) - 1, int(len(choices) * self._next(name)))]


def test_settings_replace_what_they_name_and_leave_the_rest() -> None:
    changed = apply(scaled(), Settings("ongoing_requests", {"target_ongoing_requests": 7.5}))
    assert base(changed).target_ongoing_requests == 7.5
    assert base(changed).downscale_delay_s == 60
    assert changed.application_policy is None


def test_a_policy_comes_with_its_parameters() -> None:
    changed = apply(scaled(), Settings("slo", {}, {"ttft_s": 2.0}))
    assert changed.application_policy == AutoscalingPolicy(
        policy_function="deployments.autoscaling:Slo", policy_kwargs={"ttft_s": 2.0}
    )
    assert "policy" not in base(changed).model_fields_set
    assert present(changed) == Settings("slo", {}, {"ttft_s": 2.0})


def test_going_back_to_serves_policy_forgets_the_other() -> None:
    with_policy = apply(scaled(), Settings("slo", {}, {"ttft_s": 2.0}))
    again = apply(with_policy, Settings("ongoing_requests"))
    assert again.application_policy is None
    own = scaled(policy=AutoscalingPolicy(policy_function=CLASSES["slo"], policy_kwargs={"ttft_s": 2.0}))
    assert present(own) == Settings("slo", {}, {"ttft_s": 2.0})
    assert "policy" not in base(apply(own, Settings("ongoing_requests"))).model_fields_set


def test_what_is_foreign_has_no_settings() -> None:
    foreign = scaled(policy=AutoscalingPolicy(policy_function="my.module:policy"))
    assert present(foreign) is None


def test_an_expert_that_does_not_scale_cannot_be_tuned() -> None:
    with pytest.raises(ConfigError, match="math: a fixed number of replicas"):
        space_of("slo", expert(), SLO)


def test_a_value_that_is_not_allowed_is_named() -> None:
    with pytest.raises(ConfigError, match="target_ongoing_requests"):
        apply(scaled(), Settings("ongoing_requests", {"target_ongoing_requests": -1}))


@settings(max_examples=40)
@given(policy=policies, numbers=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_all_that_is_tried_is_allowed(policy: PolicyName, numbers: list[float]) -> None:
    setup = scaled()
    found = space_of(policy, setup, SLO).suggest(Chooser(numbers))
    scaling = base(apply(setup, found))
    assert scaling.min_replicas <= scaling.max_replicas == 4
    # What `modem config check` asks for.
    assert scaling.look_back_period_s > scaling.metrics_interval_s
    assert scaling.downscale_delay_s >= scaling.look_back_period_s
    assert scaling.target_ongoing_requests < setup.max_ongoing_requests
    if policy != "ongoing_requests":
        params_of(CLASSES[policy].partition(":")[2], found.params)  # raises what is wrong


@given(policy=policies)
def test_the_first_trial_is_in_the_range_and_near_the_config(policy: PolicyName) -> None:
    space = space_of(policy, scaled(), SLO)
    search = optuna.create_study(directions=("minimize", "minimize"))
    search.enqueue_trial(dict(space.first()))
    settings = space.suggest(search.ask())
    assert settings.scaling["min_replicas"] == 1
    assert settings.scaling["look_back_period_s"] == 5
    assert "downscale_to_zero_delay_s" not in settings.scaling


def test_what_a_replica_does_not_have_is_not_searched() -> None:
    plain = expert(
        autoscaling={"max_replicas": 2},
        profile=profile(prefill=Prefill(parallel=True), decode=Decode(batch=(1,), step_s=(0.01,))),
    )
    assert {each.name for each in space_of("slo", plain, SLO).params}.isdisjoint({"itl_s", "kv_utilization"})
    full = expert(
        autoscaling={"max_replicas": 2},
        profile=profile(kv_capacity_tokens=1000, decode=Decode(batch=(1, 4), step_s=(0.01, 0.02))),
    )
    assert {"itl_s", "kv_utilization"} < {each.name for each in space_of("slo", full, SLO).params}


def test_the_ranges_follow_the_target() -> None:
    (ttft,) = (x for x in space_of("slo", scaled(), parse_slo("ttft_p90<500ms")).params if x.name == "ttft_s")
    assert ttft.low < 0.5 < ttft.high
    assert ttft.first == 0.5


def test_a_forecast_has_its_policy_within() -> None:
    settings = space_of("forecast", scaled(), SLO).suggest(Chooser([0.5]))
    assert settings.params["policy"]["kind"] == "token_load"
    assert "bucket_s" in settings.params
    assert "hold_s" not in settings.params["policy"]


def test_a_range_of_one_value_is_not_asked_for() -> None:
    chooser = Chooser([0.5])
    assert Range("x", 2, 2, 2, whole=True).suggest(chooser) == 2
    assert chooser.names == []


@given(st.floats(1e-6, 1e6))
def test_numbers_are_short(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=0.005)
    assert len(f"{rounded(value):g}".replace(".", "").replace("0", "").partition("e")[0]) <= 3


@pytest.mark.parametrize("may_sleep", [True, False])
@pytest.mark.parametrize("policy", SEARCHED)
def test_only_who_may_sleep_is_tried_with_no_replica(policy: PolicyName, may_sleep: bool) -> None:
    space = space_of(policy, replace(scaled(), may_sleep=may_sleep), SLO)
    least = space.suggest(Chooser([0.0])).scaling["min_replicas"]
    assert least == (0 if may_sleep else 1)

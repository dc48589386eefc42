from typing import Any

import pytest

from modem.autoscaling.catalogue import POLICIES, build, params_of
from modem.autoscaling.hysteresis import HoldParams
from modem.errors import ConfigError
from tests.unit.autoscaling.test_properties import KWARGS
from tests.unit.autoscaling.world import load


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_can_be_built_and_decides(name: str) -> None:
    assert build(name, KWARGS[name]).decide(load(), None).num_replicas >= 0


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("OngoingRequests", {"target": 3}, ["policy_kwargs.target", "There is no such key"]),
        ("TokenLoad", {"prefil_wait_s": 3}, ["policy_kwargs.prefil_wait_s", "'prefill_wait_s'"]),
        ("TokenLoad", {"kv_utilization": 1.2}, ["policy_kwargs.kv_utilization", "1.2", "at most 1"]),
        ("TokenLoad", {"hold_s": "600"}, ["policy_kwargs.hold_s", "without quotes"]),
        ("TokenLoad", {"hold_s": -1}, ["policy_kwargs.hold_s", "at least 0"]),
        ("TokenLoad", {"interval_s": float("nan")}, ["policy_kwargs.interval_s"]),
        ("Slo", {}, ["policy_kwargs.ttft_s", "Add 'ttft_s: ...'"]),
        ("Slo", {"ttft_s": 0}, ["policy_kwargs.ttft_s", "more than 0"]),
        ("Slo", {"ttft_s": 1, "share": 1}, ["policy_kwargs.share", "less than 1"]),
        ("Forecast", {"policy": {"kind": "solo"}}, ["policy_kwargs.policy", "'slo'"]),
        ("Forecast", {"policy": {"ttft_s": 1}}, ["policy_kwargs.policy", "Add 'kind: ...'"]),
        ("Forecast", {"policy": {"kind": "slo", "ttft": 1}}, ["policy_kwargs.policy.ttft", "'ttft_s'"]),
        ("Forecast", {"policy": {"kind": "forecast"}}, ["policy_kwargs.policy", "token_load"]),
        ("Forecast", {"timezone": "Mars"}, ["policy_kwargs.timezone", "Europe/Berlin"]),
        ("GpuBudget", {}, ["policy_kwargs.num_gpus", "Add 'num_gpus: ...'"]),
        ("GpuBudget", {"num_gpus": 4, "policy": {"kind": "gpu_budget"}}, ["policy_kwargs.policy"]),
    ],
)
def test_what_is_wrong_is_said_with_place_and_remedy(
    name: str, kwargs: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        params_of(name, kwargs)
    for word in [f"deployments.autoscaling:{name}", *words]:
        assert word in str(caught.value)


def test_a_policy_may_be_within_a_policy_within_a_policy() -> None:
    inner = {"kind": "slo", "ttft_s": 2}
    kwargs = {"num_gpus": 8, "policy": {"kind": "forecast", "policy": inner}}
    assert build("GpuBudget", kwargs).decide(load(), None).num_replicas == 2


@pytest.mark.parametrize("name", [name for name in POLICIES if issubclass(POLICIES[name], HoldParams)])
def test_defaults_hold_a_direction_for_ten_minutes(name: str) -> None:
    params = params_of(name, KWARGS[name])
    assert isinstance(params, HoldParams)
    assert params.hold_s == 600

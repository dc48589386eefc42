"""Autoscaling policies in a config file: unknown names, wrong parameters, pools that do not agree."""

from typing import Any

import pytest

from modem.serve_config.check import check_file
from modem.serve_config.rules import policy
from tests.unit.serve_config.builder import Change, broken, every, put

LLM, SIMULATED = "applications[1]", "applications[2]"
POLICY = f"{SIMULATED}.deployments[0].autoscaling_config.policy"
KWARGS = f"{POLICY}.policy_kwargs"


def named(function: str, /, **kwargs: Any) -> Change:
    return put(POLICY, {"policy_function": function, **({"policy_kwargs": kwargs} if kwargs else {})})


def ours(name: str, /, **kwargs: Any) -> Change:
    return named(f"deployments.autoscaling:{name}", **kwargs)


def of_application(where: str, name: str, /, **kwargs: Any) -> Change:
    function = f"deployments.autoscaling:{name}"
    return put(f"{where}.autoscaling_policy", {"policy_function": function, "policy_kwargs": kwargs})


GOOD = {
    "Serve's own": named("ray.serve.autoscaling_policy:default_autoscaling_policy"),
    "Serve's own, by its other name": named(
        "ray.serve.autoscaling_policy:replica_queue_length_autoscaling_policy"
    ),
    "another's": named("company.policies:Mine", anything=1),
    "another's, with a dot": named("company.policies.mine"),
    "baseline": ours("OngoingRequests"),
    "tokens": ours("TokenLoad", kv_utilization=0.7, prefill_wait_s=2),
    "with a dot": named("deployments.autoscaling.TokenLoad", prefill_wait_s=2),
    "slo": ours("Slo", ttft_s=2, itl_s=0.05),
    "forecast": ours("Forecast", policy={"kind": "slo", "ttft_s": 2}, timezone="Europe/Berlin"),
    "floors": ours(
        "Forecast", floors=[{"from_time": "08:00", "to_time": "18:00", "days": ["mon"], "replicas": 2}]
    ),
    "of an application": of_application(SIMULATED, "TokenLoad"),
    "one pool": every(
        of_application(SIMULATED, "GpuBudget", num_gpus=4), of_application(LLM, "GpuBudget", num_gpus=4)
    ),
    "two pools": every(
        of_application(SIMULATED, "GpuBudget", num_gpus=4),
        of_application(LLM, "GpuBudget", num_gpus=8, pool="other"),
    ),
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_nothing_is_wrong(change: Change) -> None:
    assert broken(change) == []


BAD: dict[str, tuple[Change, str, object, str]] = {
    "unknown": (
        ours("TokenLod"),
        f"{POLICY}.policy_function",
        "deployments.autoscaling:TokenLod",
        "TokenLoad'?",
    ),
    "quite unknown": (
        named("deployments.scaling:policy"),
        f"{POLICY}.policy_function",
        "deployments.scaling:policy",
        "Use one of: deployments.autoscaling:OngoingRequests, ",
    ),
    "nearly ours": (
        named("deployment.autoscaling:TokenLoad"),
        f"{POLICY}.policy_function",
        "deployment.autoscaling:TokenLoad",
        "'deployments.autoscaling:TokenLoad'?",
    ),
    "no module": (named("Slo"), f"{POLICY}.policy_function", "Slo", "'deployments.autoscaling:Slo'?"),
    "unknown parameter": (
        ours("TokenLoad", kv_utilisation=1),
        f"{KWARGS}.kv_utilisation",
        1,
        "kv_utilization",
    ),
    "wrong type": (ours("TokenLoad", hold_s="600"), f"{KWARGS}.hold_s", "600", "without quotes"),
    "out of bounds": (ours("Slo", ttft_s=-1), f"{KWARGS}.ttft_s", -1, "more than 0"),
    "missing": (ours("Slo"), f"{KWARGS}.ttft_s", None, "Add 'ttft_s: ...'"),
    "unknown within": (
        ours("Forecast", policy={"kind": "slo", "ttft_s": 1, "itl": 1}),
        f"{KWARGS}.policy.itl",
        1,
        "itl_s",
    ),
    "which within": (
        ours("Forecast", policy={"kind": "tokens"}),
        f"{KWARGS}.policy",
        {"kind": "tokens"},
        "token_load",
    ),
    "none within": (ours("Forecast", policy={}), f"{KWARGS}.policy", {}, "Add 'kind: ...'"),
    "parameters of a function": (
        named("ray.serve.autoscaling_policy:default_autoscaling_policy", target=3),
        KWARGS,
        {"target": 3},
        "TokenLoad",
    ),
    "of an application": (
        of_application(SIMULATED, "Slo", ttft=1, ttft_s=1),
        f"{SIMULATED}.autoscaling_policy.policy_kwargs.ttft",
        1,
        "ttft_s",
    ),
    "twice": (
        every(ours("TokenLoad"), of_application(SIMULATED, "TokenLoad")),
        POLICY,
        "deployments.autoscaling:TokenLoad",
        "Remove one",
    ),
    "pools of different sizes": (
        every(
            of_application(LLM, "GpuBudget", num_gpus=4), of_application(SIMULATED, "GpuBudget", num_gpus=8)
        ),
        f"{SIMULATED}.autoscaling_policy.policy_kwargs.num_gpus",
        8.0,
        "same number",
    ),
    "a pool too small": (
        every(
            of_application(LLM, "GpuBudget", num_gpus=1),
            of_application(SIMULATED, "GpuBudget", num_gpus=1),
            put(f"{LLM}.deployments[0].autoscaling_config.min_replicas", 1),
            put(f"{LLM}.deployments[0].autoscaling_config.initial_replicas", 1),
            put(f"{SIMULATED}.deployments[0].autoscaling_config.min_replicas", 1),
            put(f"{SIMULATED}.deployments[0].autoscaling_config.initial_replicas", 1),
        ),
        f"{LLM}.autoscaling_policy.policy_kwargs.num_gpus",
        1.0,
        "Write 2 or more",
    ),
    "an engine of several GPUs": (
        every(
            of_application(LLM, "GpuBudget", num_gpus=8, gpus_per_replica=1),
            put(f"{LLM}.args.engine_kwargs.tensor_parallel_size", 4),
        ),
        f"{LLM}.autoscaling_policy.policy_kwargs.gpus_per_replica",
        1.0,
        "Write 4.",
    ),
    "in the args": (
        put(
            f"{LLM}.args.deployment_config",
            {
                "autoscaling_config": {
                    "min_replicas": 0,
                    "policy": {"policy_function": "deployments.autoscaling:X"},
                }
            },
        ),
        f"{LLM}.args.deployment_config.autoscaling_config.policy.policy_function",
        "deployments.autoscaling:X",
        "deployments.autoscaling:",
    ),
}


@pytest.mark.parametrize(("change", "path", "value", "remedy"), BAD.values(), ids=BAD)
def test_is_said_with_place_value_and_remedy(change: Change, path: str, value: object, remedy: str) -> None:
    found = {problem.path: problem for problem in broken(change)}
    assert path in found, list(found)
    assert found[path].value == value
    assert remedy in found[path].remedy
    assert found[path].message


def test_every_rule_has_a_case() -> None:
    """Without any one of the rules some case above would go through."""
    said = {problem.message for change, *_ in BAD.values() for problem in broken(change)}
    for words in (
        "no such policy",
        "no such key",
        "used instead",
        "says that the pool",
        "alone take",
        "A replica of",
    ):
        assert any(words in message for message in said), words
    assert len(policy.RULES) == 5


@pytest.mark.parametrize("file", ["serve_config.yaml", "serve_config.cpu.yaml"])
def test_the_shipped_files_are_right(file: str) -> None:
    assert check_file(file) == []

"""The Serve config of the cluster that `benchmarks.live` measures.

Simulated experts that are slow against what this machine adds: a first token takes a second, a start eight,
and a batch has four places, so that requests wait in replicas and at the gateway.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.builders import front, mixture

DOMAINS = ("other", "math", "coding")
ENGINE = {
    "ttft_s": 1.0,
    "tpot_s": 0.05,
    "output_tokens": 200,
    "max_model_len": 4096,
    "max_num_seqs": 4,
    "startup_s": 8.0,
}
SCALING = {
    "min_replicas": 1,
    "initial_replicas": 1,
    "max_replicas": 4,
    "target_ongoing_requests": 4,
    "metrics_interval_s": 1,
    "look_back_period_s": 5,
    "upscale_delay_s": 2,
    "downscale_delay_s": 20,
    "downscale_to_zero_delay_s": 30,
}
SOON_S = 60
"""An expert that sleeps after so long has fallen asleep before a trace begins."""
HELD = {"hold_s": 20}
POLICIES: Mapping[str, tuple[str, Mapping[str, Any]] | None] = {
    "other": None,
    "math": ("Slo", {"ttft_s": 3, "headroom": 0, **HELD}),
    "coding": ("TokenLoad", {"prefill_tokens_per_s": 2000, **HELD}),
}
"""Serve's own, and two of modem's; the last expert also sleeps."""
REQUEST_TIMEOUT_S, START_TIMEOUT_S, DRAINING_S = 60, 60, 30
ENVIRONMENT = {
    # Serve's default, which the simulator assumes; on a laptop modem sets less.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAINING_S),
    # Ray starts its workers with 15: whatever else the machine does would go before them.
    "RAY_worker_niceness": "0",
}


def config(changes: Mapping[str, Any] | None = None, policies: bool = True) -> dict[str, Any]:
    """Return the Serve config.

    Args:
        changes: Of every expert's autoscaling.
        policies: Whether experts have the policies of `POLICIES`, or all Serve's own.
    """
    experts = [_expert(domain, changes or {}, POLICIES[domain] if policies else None) for domain in DOMAINS]
    limits = {"request_timeout_s": REQUEST_TIMEOUT_S, "start_timeout_s": START_TIMEOUT_S}
    return mixture([front(domains=DOMAINS, limits=limits), *experts], port=8000)


def _expert(
    domain: str, changes: Mapping[str, Any], policy: tuple[str, Mapping[str, Any]] | None
) -> dict[str, Any]:
    sleeps = {"min_replicas": 0, "initial_replicas": 0} if domain == DOMAINS[-1] else {}
    own = {}
    if policy is not None:
        name, params = policy
        own = {"policy_function": f"deployments.autoscaling:{name}", "policy_kwargs": dict(params)}
    return {
        "name": f"expert-{domain}",
        "route_prefix": None,
        "import_path": "deployments.simulated:build",
        "args": {"model_id": domain, "num_cpus": 0, **ENGINE},
        **({"autoscaling_policy": own} if own else {}),
        "deployments": [
            {
                "name": "Expert",
                "max_ongoing_requests": 8,
                "max_queued_requests": 64,
                "graceful_shutdown_timeout_s": REQUEST_TIMEOUT_S + DRAINING_S,
                "autoscaling_config": {**SCALING, **sleeps, **changes},
            }
        ],
    }


def initial(document: Mapping[str, Any]) -> dict[str, int]:
    """Return how many replicas the experts of a new cluster have until requests come, once it is quiet."""
    return {
        domain: settings["min_replicas"]
        if _soon_sleeps(settings)
        else settings.get("initial_replicas", settings["min_replicas"])
        for domain, settings in _scaling(document).items()
    }


def to_warm(document: Mapping[str, Any]) -> list[str]:
    """Return the experts that may be asked before a trace: those that run, or soon sleep again."""
    counts = initial(document)
    return [
        domain for domain, settings in _scaling(document).items() if counts[domain] or _soon_sleeps(settings)
    ]


def begins_quiet(document: Mapping[str, Any]) -> bool:
    """Return whether no expert of a new cluster is about to sleep, which policies would remember."""
    return not any(_soon_sleeps(settings) for settings in _scaling(document).values())


def _soon_sleeps(settings: Mapping[str, Any]) -> bool:
    delay_s = settings.get("downscale_to_zero_delay_s", settings["downscale_delay_s"])
    return settings["min_replicas"] == 0 and bool(delay_s <= SOON_S)


def _scaling(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the autoscaling_config of each expert."""
    return {
        app["args"]["model_id"]: app["deployments"][0]["autoscaling_config"]
        for app in document["applications"]
        if app["import_path"] == "deployments.simulated:build"
    }


def longest_hold_s(document: Mapping[str, Any]) -> float:
    """Return for how long a policy of this config remembers a step down; 0 if none does."""
    policies = [app.get("autoscaling_policy") or {} for app in document["applications"]]
    return max(float(policy.get("policy_kwargs", {}).get("hold_s", 0)) for policy in policies)


def write_config(document: Mapping[str, Any], path: Path) -> Path:
    """Write a Serve config as `serve deploy` and modem's commands read it."""
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path

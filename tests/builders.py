"""Serve configurations for tests and benchmarks, small and whole."""

from collections.abc import Mapping, Sequence
from typing import Any

DOMAINS = ("other", "math", "health", "science", "coding")
AUTOSCALING = {
    "min_replicas": 1,
    "initial_replicas": 1,
    "max_replicas": 2,
    "target_ongoing_requests": 16,
    "metrics_interval_s": 1,
    "look_back_period_s": 3,
    "upscale_delay_s": 1,
    "downscale_delay_s": 600,
}


PATIENT = {"deadline_s": 30}
"""Routing by which a machine that has no time for the router sends no prompt to the fallback."""


def gateway_config(domains: Sequence[str] = DOMAINS, **changes: Any) -> dict[str, Any]:
    """The ``user_config`` of a gateway for these domains."""
    return {
        "domains": {
            domain: {
                "description": f"Prompts about {domain}.",
                "application": f"expert-{domain}",
                "base_model": "simulated",
                "context_length_tokens": 4096,
            }
            for domain in domains
        },
        **changes,
    }


def front(
    name: str = "modem",
    route_prefix: str = "/",
    data_plane: str = "direct",
    router: Mapping[str, Any] | None = None,
    **gateway: Any,
) -> dict[str, Any]:
    """A front application whose router reads the domain off the prompt's words."""
    chosen = router or {"kind": "custom", "import_path": "tests.routers:keyword"}
    return {
        "name": name,
        "route_prefix": route_prefix,
        "import_path": "deployments.gateway:build",
        "args": {"router": chosen, "data_plane": data_plane},
        "deployments": [
            {
                "name": "Gateway",
                "num_replicas": 1,
                "max_ongoing_requests": 1000,
                "ray_actor_options": {"num_cpus": 0},
                "user_config": gateway_config(**{"routing": PATIENT, **gateway}),
            },
            {"name": "Router", "ray_actor_options": {"num_cpus": 0}},
        ],
    }


def expert(
    domain: str,
    deployment: Mapping[str, Any] | None = None,
    autoscaling: Mapping[str, Any] | None = None,
    **simulated: Any,
) -> dict[str, Any]:
    """A simulated expert's application."""
    return {
        "name": f"expert-{domain}",
        "route_prefix": None,
        "import_path": "deployments.simulated:build",
        "args": {"model_id": domain, "num_cpus": 0, **simulated},
        "deployments": [
            {
                "name": "Expert",
                "max_ongoing_requests": 64,
                "max_queued_requests": 64,
                "graceful_shutdown_timeout_s": 5,
                "autoscaling_config": {**AUTOSCALING, **(autoscaling or {})},
                **(deployment or {}),
            }
        ],
    }


def mixture(applications: Sequence[Mapping[str, Any]], port: int) -> dict[str, Any]:
    """A whole Serve config on loopback."""
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": list(applications),
    }


ASLEEP = {"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1, "downscale_to_zero_delay_s": 600}

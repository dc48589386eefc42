"""A small valid Serve config, and ways to break it in one place."""

import re
from collections.abc import Callable
from typing import Any

import yaml

from modem.serve_config.check import Problem, check_text

Config = dict[str, Any]
Change = Callable[[Config], None]

FILE = "serve.yaml"


def scaling() -> Config:
    return {
        "min_replicas": 0,
        "initial_replicas": 0,
        "max_replicas": 2,
        "target_ongoing_requests": 4,
        "metrics_interval_s": 1,
        "look_back_period_s": 3,
        "upscale_delay_s": 0,
        "downscale_delay_s": 600,
        "downscale_to_zero_delay_s": 600,
    }


def expert_deployment(**autoscaling: Any) -> Config:
    return {
        "name": "Expert",
        "max_ongoing_requests": 16,
        "max_queued_requests": 32,
        "graceful_shutdown_timeout_s": 600,
        "autoscaling_config": {**scaling(), **autoscaling},
    }


def domain(application: str, context: int) -> Config:
    return {
        "description": "What belongs here.",
        "application": application,
        "base_model": "some/model",
        "context_length_tokens": context,
        "sampling": {"temperature": 0, "max_tokens": 512, "stop": ["END"]},
        "price": {"prompt_usd_per_million_tokens": 0, "completion_usd_per_million_tokens": 1.5},
    }


def front() -> Config:
    return {
        "name": "modem",
        "route_prefix": "/",
        "import_path": "deployments.gateway:build",
        "args": {"router": {"kind": "linear", "batch_wait_timeout_s": 0}},
        "deployments": [
            {
                "name": "Gateway",
                "num_replicas": 1,
                "user_config": {
                    "domains": {"math": domain("expert-math", 2048), "other": domain("expert-other", 4096)},
                    "routing": {"threshold": 0.5, "fallback": "other"},
                    "limits": {"start_timeout_s": 300, "request_timeout_s": 600},
                },
            },
            {"name": "Router", "num_replicas": 1, "ray_actor_options": {"num_cpus": 0.1}},
        ],
    }


def llm() -> Config:
    return {
        "name": "expert-math",
        "route_prefix": None,
        "import_path": "deployments.expert:build",
        "args": {
            "model_loading_config": {"model_id": "math", "model_source": "modem://smollm2-135m-instruct"},
            "accelerator_config": {"kind": "cpu"},
            "engine_kwargs": {"dtype": "float32", "max_model_len": 2048, "max_num_seqs": 8},
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "2"}},
        },
        "deployments": [expert_deployment()],
    }


def simulated() -> Config:
    return {
        "name": "expert-other",
        "route_prefix": None,
        "import_path": "deployments.simulated:build",
        "args": {"model_id": "other", "max_num_seqs": 8, "max_model_len": 4096},
        "deployments": [expert_deployment(min_replicas=1, initial_replicas=1)],
    }


def foreign() -> Config:
    return {
        "name": "company",
        "route_prefix": "/company",
        "import_path": "company.app:build",
        "args": {"any": 1},
    }


def valid() -> Config:
    """A config without a fault: applications[0] front, [1] vLLM expert, [2] simulated expert."""
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "applications": [front(), llm(), simulated()],
    }


def parts(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]


def at(config: Any, path: str) -> Any:
    for part in parts(path):
        config = config[part]
    return config


def put(path: str, value: object) -> Change:
    """Set (or add) one key."""

    def change(config: Config) -> None:
        *where, last = parts(path)
        node: Any = config
        for part in where:
            node = node[part]
        node[last] = value

    return change


def drop(path: str) -> Change:
    """Remove one key or list item."""

    def change(config: Config) -> None:
        *where, last = parts(path)
        node: Any = config
        for part in where:
            node = node[part]
        del node[last]

    return change


def rename(path: str, name: str) -> Change:
    """Rename one key, in place."""

    def change(config: Config) -> None:
        *where, last = parts(path)
        node: Any = config
        for part in where:
            node = node[part]
        items = [(name if key == last else key, value) for key, value in node.items()]
        node.clear()
        node.update(items)

    return change


def append(path: str, value: object) -> Change:
    return lambda config: at(config, path).append(value)


def every(*changes: Change) -> Change:
    def change(config: Config) -> None:
        for each in changes:
            each(config)

    return change


def problems(config: object) -> list[Problem]:
    """Check a config as the file ``serve.yaml`` would be."""
    return check_text(yaml.safe_dump(config, sort_keys=False), FILE)[1]


def broken(change: Change) -> list[Problem]:
    """Check the valid config after one change."""
    config = valid()
    change(config)
    return problems(config)

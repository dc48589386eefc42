"""`ExpertArgs` is what `ray.serve.llm.LLMConfig` takes, no more and no less."""

from pathlib import Path
from typing import Any

import pytest
import ray.util.accelerators.accelerators as ray_accelerators
from pydantic import BaseModel, ValidationError
from ray.llm._internal.common.callbacks.base import CallbackConfig
from ray.llm._internal.common.utils.cloud_utils import CloudMirrorConfig, ExtraFiles
from ray.llm._internal.serve.core.configs.accelerators import TPUConfig
from ray.serve.llm import LLMConfig, LoraConfig, ModelLoadingConfig

from modem.serve_config import expert
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.load import load
from tests.unit.serve_config.engine_args import render

ROOT = Path(__file__).parents[3]
MINIMAL: dict[str, Any] = {"model_loading_config": {"model_id": "math"}}
FULL: dict[str, Any] = {
    "model_loading_config": {
        "model_id": "math",
        "model_source": "org/model",
        "tokenizer_source": "org/model",
    },
    "llm_engine": "vLLM",
    "engine_kwargs": {"max_model_len": 2048, "compilation_config": {"level": 3}},
    "accelerator_type": "H100",
    "accelerator_config": {"kind": "gpu"},
    "placement_group_config": {"bundles": [{"CPU": 1, "GPU": 1}, {"GPU": 1}], "strategy": "SPREAD"},
    "lora_config": {"dynamic_lora_loading_path": "s3://bucket/adapters", "max_num_adapters_per_replica": 4},
    "deployment_config": {
        "ray_actor_options": {"num_cpus": 0.1, "runtime_env": {"env_vars": {"A": "1"}}},
        "autoscaling_config": {"min_replicas": 0, "max_replicas": 2, "target_ongoing_requests": 4},
        "max_ongoing_requests": 8,
    },
    "experimental_configs": {"stream_batching_interval_ms": 0},
    "log_engine_metrics": False,
    "callback_config": {"callback_kwargs": {"a": 1}, "raise_error_on_callback": False},
    "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "2"}},
}


def with_(**changes: object) -> dict[str, Any]:
    return {**MINIMAL, **changes}


def error(args: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        ExpertArgs.model_validate(args)
    return str(caught.value)


@pytest.mark.parametrize("raw", [MINIMAL, FULL], ids=["minimal", "full"])
def test_ray_gets_what_was_written_and_its_own_defaults(raw: dict[str, Any]) -> None:
    dumped = ExpertArgs.model_validate(raw).model_dump(exclude_unset=True)
    assert dumped == raw
    assert LLMConfig(**dumped).model_dump() == LLMConfig(**raw).model_dump()


@pytest.mark.parametrize("file", ["serve_config.yaml", "serve_config.cpu.yaml"])
def test_ray_takes_the_experts_of_the_shipped_files(file: str) -> None:
    experts = load(ROOT / file).experts
    assert len(experts) == 5
    for args in experts.values():
        llm = LLMConfig(**args.model_dump(exclude_unset=True))
        assert llm.model_id in ("math", "health", "science", "coding", "other")
        assert llm.log_engine_metrics is (file == "serve_config.yaml")


@pytest.mark.parametrize(
    ("ours", "rays"),
    [
        (ExpertArgs, LLMConfig),
        (expert.ModelLoading, ModelLoadingConfig),
        (expert.Lora, LoraConfig),
        (expert.CloudMirror, CloudMirrorConfig),
        (expert.CloudFile, ExtraFiles),
        (expert.Accelerator, TPUConfig),
    ],
)
def test_keys_are_rays(ours: type[BaseModel], rays: type[BaseModel]) -> None:
    assert set(ours.model_fields) == set(rays.model_fields)


def test_callback_keys_are_rays() -> None:
    assert set(expert.Callback.model_fields) == set(CallbackConfig.__dataclass_fields__)


def test_accelerators_are_rays() -> None:
    labels = {value for name, value in vars(ray_accelerators).items() if not name.startswith("_")}
    assert set(expert.ACCELERATOR_TYPES) == labels | {"A10"}


def test_engine_args_are_those_of_the_installed_vllm() -> None:
    committed = (ROOT / "modem" / "serve_config" / "engine_args.txt").read_text(encoding="utf-8")
    assert committed == render()


def test_engine_args_hold_what_ray_and_modem_use() -> None:
    assert {"max_model_len", "tensor_parallel_size", "enforce_eager", "chat_template"} <= expert.engine_args()
    assert not {"model", "served_model_name", "_api_process_count"} & expert.engine_args()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"engine_kwargs": {"max_modl_len": 1}}, "vLLM has no engine argument of this name"),
        ({"engine_kwargs": {"model": "x"}}, "Ray Serve LLM sets model itself"),
        ({"llm_engine": "SGLang"}, "llm_engine"),
        ({"accelerator_type": "H1000"}, "Ray knows no accelerator of this name"),
        ({"accelerator_type": "H100", "accelerator_config": {"kind": "cpu"}}, "does not go with"),
        ({"accelerator_config": {"kind": "gpu", "topology": "2x2"}}, "kind 'tpu' only"),
        ({"placement_group_config": {}}, "exactly one of"),
        ({"placement_group_config": {"bundle_per_worker": {}, "bundles": []}}, "exactly one of"),
        ({"lora_config": {"dynamic_lora_loading_path": "/tmp"}}, "dynamic_lora_loading_path"),
        ({"model_loading_config": {"model_id": ""}}, "model_id"),
        ({"model_loading_config": {"model_id": "m", "model_source": "modem://x"}}, "modem prepares no model"),
        ({"model_loading_config": {"model_id": "m", "model_source": {"bucket_uri": "/x"}}}, "bucket_uri"),
        ({"engine_kwargs": {"disable_log_stats": True}}, "while log_engine_metrics is true"),
        ({"deployment_config": {"placement_group_bundles": []}}, "placement_group_bundles"),
        ({"experimental_configs": {"num_router_replicas": 1}}, "num_router_replicas"),
    ],
)
def test_what_would_fail_later_is_refused(changes: dict[str, object], says: str) -> None:
    assert says in error(with_(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"model_loading_config": {"model_id": "m", "model_source": "modem://smollm2-135m-instruct"}},
        {"model_loading_config": {"model_id": "m", "model_source": {"bucket_uri": "s3://bucket/model"}}},
        {"accelerator_type": "TPU-V6E", "accelerator_config": {"kind": "tpu", "topology": "2x2"}},
        {"placement_group_config": {"bundle_per_worker": {"GPU": 0.25, "CPU": 1}}},
        {"engine_kwargs": {"disable_log_stats": True}, "log_engine_metrics": False},
        {"server_cls": "ray.serve.llm:LLMServer"},
    ],
)
def test_what_ray_takes_is_taken(changes: dict[str, object]) -> None:
    LLMConfig(**ExpertArgs.model_validate(with_(**changes)).model_dump(exclude_unset=True))

"""The ``args`` of an expert application: `ray.serve.llm.LLMConfig`, key by key, without Ray.

`deployments.expert` turns it into the real one by
``LLMConfig(**args.model_dump(exclude_unset=True))``, so what the file leaves out keeps Ray's
default.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from modem.config import Config
from modem.laptop.models import MODELS, SCHEME
from modem.serve_config.problems import suggest
from modem.serve_config.schema import DeploymentOptions, PlacementStrategy, RuntimeEnv

_ACCELERATORS = """
    V100 P100 T4 P4 K80 A10 A10G L4 L40S A100 A100-40G A100-80G H100 H200 H20 B200 B300 GB200 GB300
    RTX-PRO-6000 Intel-GPU-Max-1550 Intel-GPU-Max-1100 Intel-GAUDI AMD-Instinct-MI100
    AMD-Instinct-MI250X AMD-Instinct-MI250X-MI250 AMD-Instinct-MI210 AMD-Instinct-MI300A
    AMD-Instinct-MI300X-OAM AMD-Instinct-MI300X-HF AMD-Instinct-MI308X AMD-Instinct-MI325X-OAM
    AMD-Instinct-MI350X-OAM AMD-Instinct-MI355X-OAM AMD-Radeon-R9-200-HD-7900 AMD-Radeon-HD-7900
    aws-neuron-core TPU-V2 TPU-V3 TPU-V4 TPU-V5P TPU-V5LITEPOD TPU-V6E TPU-V7X Ascend910B Ascend910B4
    MXC500 MXC550 FURIOSA_RNGD M1 M1-Pro M1-Max M1-Ultra M2 M2-Pro M2-Max M2-Ultra M3 M3-Pro M3-Max
    Apple-Silicon MOBILINT_ARIES MOBILINT_REGULUS
"""
ACCELERATOR_TYPES = tuple(_ACCELERATORS.split())
"""Ray's labels of accelerators; ``A10`` is its other name of ``A10G``."""


@cache
def engine_args() -> frozenset[str]:
    """Return the engine arguments that vLLM knows, from the list in this package."""
    text = files("modem.serve_config").joinpath("engine_args.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def _engine_arg(name: str) -> str:
    if name in ("model", "served_model_name"):
        raise PydanticCustomError(
            "engine_arg_elsewhere",
            "Ray Serve LLM sets {name} itself and refuses it here.",
            {"name": name, "remedy": "Set model_loading_config.model_source and model_id instead."},
        )
    if name not in engine_args():
        raise PydanticCustomError(
            "engine_arg_unknown",
            "vLLM has no engine argument of this name.",
            {"remedy": suggest(name, sorted(engine_args()))},
        )
    return name


def _source(source: str) -> str:
    if source.startswith(SCHEME):
        name = source.removeprefix(SCHEME)
        if name not in MODELS:
            raise PydanticCustomError(
                "prepared_model_unknown",
                "modem prepares no model of this name.",
                {"remedy": suggest(name, list(MODELS))},
            )
    return source


def _accelerator_type(name: str) -> str:
    if name not in ACCELERATOR_TYPES:
        raise PydanticCustomError(
            "accelerator_unknown",
            "Ray knows no accelerator of this name.",
            {"remedy": suggest(name, ACCELERATOR_TYPES)},
        )
    return name


EngineArg = Annotated[str, AfterValidator(_engine_arg)]
ModelSource = Annotated[str, AfterValidator(_source)]


class CloudFile(Config):
    """A file to fetch along with the weights."""

    bucket_uri: str
    destination_path: str


class CloudMirror(Config):
    """Weights in a bucket."""

    bucket_uri: str | None = Field(default=None, pattern=r"^(s3|gs|abfss|azure|pyarrow-\w+)://")
    extra_files: Sequence[CloudFile] = ()


class ModelLoading(Config):
    """Which model, and the name it answers under.

    Attributes:
        model_id: The domain id: the gateway passes the engine's ``model`` field through.
        model_source: Hub id, local folder, bucket or ``modem://`` name; the model_id if absent.
        tokenizer_source: As model_source; from the model if absent.
    """

    model_id: str = Field(min_length=1)
    model_source: ModelSource | CloudMirror | None = None
    tokenizer_source: ModelSource | None = None


class Accelerator(Config):
    """What the engine computes on."""

    kind: Literal["cpu", "gpu", "tpu"]
    topology: str | None = None

    @model_validator(mode="after")
    def _topology_is_of_tpus(self) -> Self:
        if self.topology is not None and self.kind != "tpu":
            raise ValueError("topology goes with kind 'tpu' only: remove it")
        return self


class PlacementGroup(Config):
    """The resources of the engine's workers: one bundle for each, or all bundles."""

    bundle_per_worker: Mapping[str, float] | None = None
    bundles: Sequence[Mapping[str, float]] | None = None
    strategy: PlacementStrategy = "PACK"

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.bundle_per_worker is None) == (self.bundles is None):
            raise ValueError("set exactly one of bundle_per_worker and bundles")
        return self


class Lora(Config):
    """LoRA adapters that replicas load on demand."""

    dynamic_lora_loading_path: str | None = Field(
        default=None, pattern=r"^(s3|gs|abfss|azure|pyarrow-\w+)://"
    )
    max_num_adapters_per_replica: int = Field(default=16, ge=1)
    download_timeout_s: float | None = Field(default=30, gt=0)
    max_download_tries: int = Field(default=3, ge=1)


class Experimental(Config):
    """The experimental keys that act on a single expert.

    Attributes:
        stream_batching_interval_ms: How long Ray's own stream path collects tokens. Not in the
            path of modem's gateway, which talks to the replica's HTTP port.
    """

    stream_batching_interval_ms: float | None = Field(default=None, ge=0)
    NIXL_SIDE_CHANNEL_PORT_BASE: int | None = Field(default=None, ge=1, le=65535)
    MORI_HANDSHAKE_PORT_BASE: int | None = Field(default=None, ge=1, le=65535)
    MORI_NOTIFY_PORT_BASE: int | None = Field(default=None, ge=1, le=65535)
    KV_EVENTS_PORT_BASE: int | None = Field(default=None, ge=1, le=65535)
    KV_TOKEN_PORT_BASE: int | None = Field(default=None, ge=1, le=65535)
    KV_INDEXER_THREADS: int | None = Field(default=None, ge=1)


class Callback(Config):
    """Code that runs while the engine starts."""

    callback_class: str | None = None
    callback_kwargs: Mapping[str, Any] = Field(default_factory=dict)
    raise_error_on_callback: bool = True


class ExpertArgs(Config):
    """One expert: the model, its engine and what it runs on.

    Attributes:
        deployment_config: Serve options that the engine's placement is computed from. Replica
            numbers do not belong here: they are live only under ``deployments``.
        engine_kwargs: vLLM's engine arguments; the names are checked, the values by vLLM.
    """

    model_loading_config: ModelLoading
    llm_engine: Literal["vLLM"] = "vLLM"
    engine_kwargs: Mapping[EngineArg, Any] = Field(default_factory=dict)
    accelerator_type: Annotated[str, AfterValidator(_accelerator_type)] | None = None
    accelerator_config: Accelerator | None = None
    placement_group_config: PlacementGroup | None = None
    lora_config: Lora | None = None
    deployment_config: DeploymentOptions = DeploymentOptions()
    server_cls: str | None = None
    experimental_configs: Experimental = Experimental()
    log_engine_metrics: bool | None = True
    callback_config: Callback = Callback()
    runtime_env: RuntimeEnv | None = None

    @model_validator(mode="after")
    def _hardware_fits(self) -> Self:
        if self.accelerator_type and self.accelerator_config and self.accelerator_config.kind == "cpu":
            raise ValueError("accelerator_type does not go with accelerator_config.kind 'cpu': remove one")
        return self

    @model_validator(mode="after")
    def _metrics_need_stats(self) -> Self:
        if self.log_engine_metrics and self.engine_kwargs.get("disable_log_stats"):
            raise ValueError("engine_kwargs.disable_log_stats must be false while log_engine_metrics is true")
        return self

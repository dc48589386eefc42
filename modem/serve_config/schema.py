"""A Ray Serve config file, every key of it: the strict twin of Ray 2.60's own schema.

Ray accepts unknown keys at almost every level and ignores them, so a misspelt
``target_ongoing_request`` deploys without a word and scales on a default. These models forbid
what Ray does not know. They need no Ray; a test compares the key sets with Ray's.

Defaults are Serve's own. Whether a key was written at all is in ``model_fields_set``.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from modem.config import Config

PlacementStrategy = Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]


class RuntimeEnv(Config):
    """Ray's runtime environment of a process; the keys that start with ``_`` are left out.

    Attributes:
        env_vars: Environment variables. Ray refuses values that are not strings.
    """

    env_vars: Mapping[str, str] = Field(default_factory=dict)
    working_dir: str | None = None
    py_modules: Sequence[str] = ()
    py_executable: str | None = None
    java_jars: Sequence[str] = ()
    excludes: Sequence[str] = ()
    pip: str | Sequence[str] | Mapping[str, Any] | None = None
    uv: str | Sequence[str] | Mapping[str, Any] | None = None
    conda: str | Mapping[str, Any] | None = None
    container: Mapping[str, Any] | None = None
    image_uri: str | None = None
    config: Mapping[str, Any] | None = None
    worker_process_setup_hook: str | None = None


class ControllerRuntimeEnv(Config):
    """The part of a runtime environment that Serve's controller accepts."""

    env_vars: Mapping[str, str] = Field(default_factory=dict)


class ControllerOptions(Config):
    """Options of Serve's controller, read when it first starts."""

    runtime_env: ControllerRuntimeEnv | None = None


class LoggingConfig(Config):
    """How Serve's processes log."""

    encoding: Literal["TEXT", "JSON"] = "TEXT"
    log_level: Literal[
        "NOTSET", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL", 0, 10, 20, 30, 40, 50
    ] = "INFO"
    logs_dir: str | None = None
    enable_access_log: bool = True
    additional_log_standard_attrs: Sequence[str] = ()


class TracingConfig(Config):
    """OpenTelemetry spans of Serve."""

    enabled: bool = False
    exporter_import_path: str = ""
    sampling_ratio: float = Field(default=0.01, ge=0, le=1)


class HTTPOptions(Config):
    """The HTTP proxies. Changing them needs a restart of Serve."""

    host: str = "0.0.0.0"
    port: int = Field(default=8000, ge=0, le=65535)
    root_path: str = ""
    request_timeout_s: float | None = Field(default=None, gt=0)
    keep_alive_timeout_s: int = Field(default=90, ge=0)
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile_password: str | None = None
    ssl_ca_certs: str | None = None


class GRPCOptions(Config):
    """The gRPC proxies; modem has no gRPC service, so they stay off."""

    port: int = Field(default=9000, ge=0, le=65535)
    grpc_servicer_functions: Sequence[str] = ()
    request_timeout_s: float | None = Field(default=None, gt=0)
    enable_reflection: bool = True


class RayActorOptions(Config):
    """What one replica's process reserves from Ray; logical numbers, not limits."""

    runtime_env: RuntimeEnv = RuntimeEnv()
    num_cpus: float | None = Field(default=None, ge=0)
    num_gpus: float | None = Field(default=None, ge=0)
    memory: float | None = Field(default=None, ge=0)
    resources: Mapping[str, float] = Field(default_factory=dict)
    accelerator_type: str | None = None
    label_selector: Mapping[str, str] | None = None
    fallback_strategy: Sequence[Mapping[str, Any]] | None = None


class AutoscalingPolicy(Config):
    """A custom autoscaling policy; naming another one restarts the application."""

    policy_function: str = "ray.serve.autoscaling_policy:default_autoscaling_policy"
    policy_kwargs: Mapping[str, Any] = Field(default_factory=dict)


class AutoscalingConfig(Config):
    """How many replicas a deployment has, and when that changes. Times in seconds."""

    min_replicas: int = Field(default=1, ge=0)
    initial_replicas: int | None = Field(default=None, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    target_ongoing_requests: float = Field(default=2, gt=0)
    metrics_interval_s: float = Field(default=10, gt=0)
    look_back_period_s: float = Field(default=30, gt=0)
    smoothing_factor: float = Field(default=1, gt=0)
    upscale_smoothing_factor: float | None = Field(default=None, gt=0)
    downscale_smoothing_factor: float | None = Field(default=None, gt=0)
    upscaling_factor: float | None = Field(default=None, gt=0)
    downscaling_factor: float | None = Field(default=None, gt=0)
    upscale_delay_s: float = Field(default=30, ge=0)
    downscale_delay_s: float = Field(default=600, ge=0)
    downscale_to_zero_delay_s: float | None = Field(default=None, ge=0)
    aggregation_function: Literal["mean", "max", "min"] = "mean"
    policy: AutoscalingPolicy = AutoscalingPolicy()


class BackpressureConfig(Config):
    """How Serve refuses a request when too many wait."""

    status_code: Literal[503, 429] = 503
    retry_after_s: float | None = Field(default=None, ge=0)


class RequestRouterConfig(Config):
    """Serve's choice of a replica (not modem's router)."""

    request_router_class: str = "ray.serve._private.request_router:PowerOfTwoChoicesRequestRouter"
    request_router_kwargs: Mapping[str, Any] = Field(default_factory=dict)
    request_routing_stats_period_s: float = Field(default=10, gt=0)
    request_routing_stats_timeout_s: float = Field(default=30, gt=0)
    initial_backoff_s: float = Field(default=0.025, gt=0)
    backoff_multiplier: float = Field(default=2, gt=0)
    max_backoff_s: float = Field(default=0.5, gt=0)


class GangSchedulingConfig(Config):
    """Replicas that start and fail together."""

    gang_size: int = Field(ge=1)
    gang_placement_strategy: Literal["PACK", "SPREAD"] = "PACK"
    runtime_failure_policy: Literal["RESTART_GANG"] = "RESTART_GANG"


class DeploymentActorConfig(Config):
    """An actor that all replicas of a deployment share."""

    name: str
    actor_class: str
    init_args: Sequence[Any] = ()
    init_kwargs: Mapping[str, Any] = Field(default_factory=dict)
    actor_options: Mapping[str, Any] = Field(default_factory=dict)


class DeploymentOptions(Config):
    """The options of a deployment that `ray.serve.llm.LLMConfig` takes as well."""

    num_replicas: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    max_ongoing_requests: int = Field(default=5, ge=1)
    max_queued_requests: int = Field(default=-1, ge=-1)
    user_config: Mapping[str, Any] | None = None
    autoscaling_config: AutoscalingConfig | None = None
    graceful_shutdown_wait_loop_s: float = Field(default=2, ge=0)
    graceful_shutdown_timeout_s: float = Field(default=20, ge=0)
    health_check_period_s: float = Field(default=10, gt=0)
    health_check_timeout_s: float = Field(default=30, gt=0)
    ray_actor_options: RayActorOptions = RayActorOptions()
    logging_config: LoggingConfig = LoggingConfig()
    request_router_config: RequestRouterConfig = RequestRouterConfig()


class DeploymentSchema(DeploymentOptions):
    """One entry of ``deployments``: what it sets replaces what the code says."""

    name: str
    backpressure_config: BackpressureConfig = BackpressureConfig()
    placement_group_bundles: Sequence[Mapping[str, float]] = ()
    placement_group_strategy: PlacementStrategy = "PACK"
    placement_group_bundle_label_selector: Sequence[Mapping[str, str]] = ()
    max_replicas_per_node: int = Field(default=100, ge=1, le=100)
    gang_scheduling_config: GangSchedulingConfig | None = None
    deployment_actors: Sequence[DeploymentActorConfig] | None = None
    rolling_update_percentage: float = Field(default=0.2, gt=0, le=1)
    max_surge_percent: int = Field(default=0, ge=0, le=100)


class ApplicationSchema(Config):
    """One Serve application.

    ``host`` and ``port``, which Ray's class still has, are refused in a file of several
    applications, so they are unknown here.
    """

    name: str = Field(default="default", min_length=1)
    route_prefix: str | None = Field(default="/", pattern=r"^/$|^/[^{}]*[^{}/]$")
    import_path: str = Field(pattern=r"^[\w.]+[.:]\w[\w.]*$")
    runtime_env: RuntimeEnv = RuntimeEnv()
    deployments: Sequence[DeploymentSchema] = ()
    autoscaling_policy: AutoscalingPolicy | None = None
    args: Mapping[str, Any] = Field(default_factory=dict)
    logging_config: LoggingConfig | None = None
    external_scaler_enabled: bool = False


class ServeDeploySchema(Config):
    """A whole file."""

    proxy_location: Literal["Disabled", "HeadOnly", "EveryNode"] = "EveryNode"
    http_options: HTTPOptions = HTTPOptions()
    grpc_options: GRPCOptions = GRPCOptions()
    controller_options: ControllerOptions | None = None
    logging_config: LoggingConfig | None = None
    tracing_config: TracingConfig | None = None
    applications: Sequence[ApplicationSchema]
    target_capacity: float | None = Field(default=None, ge=0, le=100)

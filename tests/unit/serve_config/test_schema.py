"""Our keys are Ray's keys: a new Ray that adds or drops one makes these fail."""

import pytest
from pydantic import BaseModel, ValidationError
from ray.llm._internal.common.placement import PlacementGroupConfig
from ray.runtime_env import RuntimeEnv
from ray.serve import config as ray_config
from ray.serve import schema as ray_schema

from modem.serve_config import expert, schema

PAIRS: list[tuple[type[BaseModel], type[BaseModel], set[str]]] = [
    (schema.ServeDeploySchema, ray_schema.ServeDeploySchema, set()),
    # Ray refuses these two in a file with several applications.
    (schema.ApplicationSchema, ray_schema.ServeApplicationSchema, {"host", "port"}),
    (schema.DeploymentSchema, ray_schema.DeploymentSchema, set()),
    (schema.RayActorOptions, ray_schema.RayActorOptionsSchema, set()),
    (schema.HTTPOptions, ray_schema.HTTPOptionsSchema, set()),
    (schema.GRPCOptions, ray_schema.gRPCOptionsSchema, set()),
    (schema.LoggingConfig, ray_schema.LoggingConfig, set()),
    (schema.TracingConfig, ray_schema.TracingConfig, set()),
    (schema.ControllerOptions, ray_config.ControllerOptions, set()),
    (schema.AutoscalingConfig, ray_config.AutoscalingConfig, set()),
    (schema.AutoscalingPolicy, ray_config.AutoscalingPolicy, set()),
    (schema.BackpressureConfig, ray_config.BackpressureConfig, set()),
    (schema.RequestRouterConfig, ray_config.RequestRouterConfig, set()),
    (schema.GangSchedulingConfig, ray_config.GangSchedulingConfig, set()),
    (schema.DeploymentActorConfig, ray_config.DeploymentActorConfig, set()),
    (expert.PlacementGroup, PlacementGroupConfig, set()),
]


@pytest.mark.parametrize(("ours", "rays", "refused"), PAIRS, ids=lambda item: getattr(item, "__name__", ""))
def test_keys_are_rays(ours: type[BaseModel], rays: type[BaseModel], refused: set[str]) -> None:
    assert set(ours.model_fields) == set(rays.model_fields) - refused


@pytest.mark.parametrize(("ours", "rays", "refused"), PAIRS, ids=lambda item: getattr(item, "__name__", ""))
def test_required_keys_are_rays(ours: type[BaseModel], rays: type[BaseModel], refused: set[str]) -> None:
    def required(model: type[BaseModel]) -> set[str]:
        return {name for name, field in model.model_fields.items() if field.is_required()}

    assert required(ours) == required(rays)


def test_runtime_env_keys_are_rays() -> None:
    public = {key for key in RuntimeEnv.known_fields if not key.startswith("_")}
    assert set(schema.RuntimeEnv.model_fields) == public


@pytest.mark.parametrize("name", sorted(set(schema.AutoscalingConfig.model_fields) - {"policy"}))
def test_autoscaling_defaults_are_rays(name: str) -> None:
    assert getattr(schema.AutoscalingConfig(), name) == getattr(ray_config.AutoscalingConfig(), name)


def test_everything_is_frozen_and_strict_about_keys() -> None:
    for ours, _, _ in PAIRS:
        assert ours.model_config["frozen"], ours
        assert ours.model_config["extra"] == "forbid", ours


@pytest.mark.parametrize("prefix", ["/", "/a", "/a/b", "/a-b_c", None])
def test_route_prefixes_that_ray_takes(prefix: str | None) -> None:
    entry = {"name": "a", "import_path": "a:b", "route_prefix": prefix}
    assert schema.ApplicationSchema.model_validate(entry).route_prefix == prefix
    ray_schema.ServeApplicationSchema.model_validate(entry)


@pytest.mark.parametrize("prefix", ["", "a", "/a/", "/{a}", "/a{"])
def test_route_prefixes_that_only_the_deployment_would_refuse(prefix: str) -> None:
    with pytest.raises(ValidationError):
        schema.ApplicationSchema.model_validate({"import_path": "a:b", "route_prefix": prefix})


@pytest.mark.parametrize("path", ["a:b", "a.b", "a.b:c", "a.b.c"])
def test_import_paths_that_ray_takes(path: str) -> None:
    for model in (schema.ApplicationSchema, ray_schema.ServeApplicationSchema):
        assert model.model_validate({"import_path": path})


@pytest.mark.parametrize("path", ["", "a", ":a", "a:", "a:b:c", ".a", "a."])
def test_import_paths_that_ray_refuses(path: str) -> None:
    for model in (schema.ApplicationSchema, ray_schema.ServeApplicationSchema):
        with pytest.raises(ValidationError):
            model.model_validate({"import_path": path})

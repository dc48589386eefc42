"""Settings that are tried: a policy, its parameters, and the numbers of Serve's ``autoscaling_config``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from pydantic import ValidationError

from modem.autoscaling.catalogue import MODULE
from modem.errors import ConfigError
from modem.serve_config.schema import AutoscalingConfig, AutoscalingPolicy
from modem.simulation.setup import ExpertSetup

PolicyName = Literal["ongoing_requests", "token_load", "slo", "forecast", "gpu_budget"]
SEARCHED: tuple[PolicyName, ...] = tuple(name for name in get_args(PolicyName) if name != "gpu_budget")
"""Policies that are searched for one expert alone; `gpu_budget` stands around one of them."""

SERVE_POLICY = AutoscalingPolicy().policy_function
"""Serve's own policy: what `ongoing_requests` is in a config file."""

CLASSES: Mapping[PolicyName, str] = {
    "ongoing_requests": SERVE_POLICY,
    "token_load": f"{MODULE}:TokenLoad",
    "slo": f"{MODULE}:Slo",
    "forecast": f"{MODULE}:Forecast",
    "gpu_budget": f"{MODULE}:GpuBudget",
}
"""Import paths as config files name them."""

Scalar = int | float | str


@dataclass(frozen=True, slots=True)
class Settings:
    """One way to scale an expert.

    Attributes:
        policy: Who decides.
        scaling: Keys of ``autoscaling_config`` that differ from the config file's; they apply live.
        params: The whole of ``policy_kwargs``; a change of them restarts the expert's replicas.
    """

    policy: PolicyName
    scaling: Mapping[str, Scalar] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_policy(self) -> AutoscalingPolicy | None:
        """What stands in the application's ``autoscaling_policy``; None for Serve's own policy.

        There, and not in the deployment's ``autoscaling_config``: while no replica runs Serve asks only the
        application's policy, so a sleeping expert wakes with as many replicas as wait for.
        """
        if self.policy == "ongoing_requests":
            return None
        return AutoscalingPolicy(policy_function=CLASSES[self.policy], policy_kwargs=dict(self.params))


def apply(setup: ExpertSetup, settings: Settings) -> ExpertSetup:
    """Return an expert that scales in this way.

    Raises:
        ConfigError: The expert does not scale, or a value is not allowed.
    """
    values = {**base(setup).model_dump(exclude_unset=True), **settings.scaling}
    values.pop("policy", None)
    try:
        scaling = AutoscalingConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"domain {setup.domain}: {error}") from error
    return replace(setup, autoscaling=scaling, application_policy=settings.own_policy)


def base(setup: ExpertSetup) -> AutoscalingConfig:
    """Return how an expert scales before anything is tried.

    Raises:
        ConfigError: It does not.
    """
    if setup.autoscaling is None:
        raise ConfigError(
            f"domain {setup.domain}: a fixed number of replicas, so there is nothing to tune: "
            "give its deployment an autoscaling_config"
        )
    return setup.autoscaling


def present(setup: ExpertSetup) -> Settings | None:
    """Return what the config file says, as settings; None if its policy is none of those that are tuned.

    A policy that the file gives to the deployment is taken as if it were the application's.
    """
    policy = setup.application_policy or base(setup).policy
    name = next((name for name, path in CLASSES.items() if path == policy.policy_function), None)
    return None if name is None else Settings(name, {}, dict(policy.policy_kwargs))

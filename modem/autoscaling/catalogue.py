"""The policies by the names that config files use: those of Serve's classes in `deployments.autoscaling`."""

from collections.abc import Mapping
from typing import Any

from modem.autoscaling.base import AnyPolicy, PolicyParams
from modem.autoscaling.forecast import ForecastParams
from modem.autoscaling.gpu_budget import GpuBudgetParams
from modem.autoscaling.ongoing_requests import OngoingRequestsParams
from modem.autoscaling.slo import SloParams
from modem.autoscaling.token_load import TokenLoadParams
from modem.errors import ConfigError
from modem.serve_config.problems import validate

MODULE = "deployments.autoscaling"
"""Where config files find the policies."""

POLICIES: Mapping[str, type[PolicyParams]] = {
    "OngoingRequests": OngoingRequestsParams,
    "TokenLoad": TokenLoadParams,
    "Slo": SloParams,
    "Forecast": ForecastParams,
    "GpuBudget": GpuBudgetParams,
}
"""Parameters by the name of the policy's class."""


def params_of(name: str, kwargs: Mapping[str, Any]) -> PolicyParams:
    """Return a policy's parameters.

    Args:
        name: One of `POLICIES`.
        kwargs: What stands under ``policy_kwargs``.

    Raises:
        ConfigError: A parameter is unknown, missing or wrong; the message says which, and how to mend it.
    """
    params, problems = validate(POLICIES[name], dict(kwargs), f"{MODULE}:{name}", ("policy_kwargs",))
    if params is None:
        raise ConfigError("\n".join(str(problem) for problem in problems))
    return params


def build(name: str, kwargs: Mapping[str, Any]) -> AnyPolicy:
    """Return a policy; see `params_of`."""
    return params_of(name, kwargs).build()

"""What must hold within any deployment, whoever's it is."""

from collections.abc import Callable

from modem.serve_config.document import Document
from modem.serve_config.problems import Path
from modem.serve_config.rules.base import Problems
from modem.serve_config.schema import DeploymentSchema


def replicas_are_fixed_or_scale(doc: Document, path: Path, deployment: DeploymentSchema) -> Problems:
    """Serve refuses a fixed number of replicas next to autoscaling."""
    if isinstance(deployment.num_replicas, int) and deployment.autoscaling_config is not None:
        yield doc.problem(
            (*path, "num_replicas"),
            deployment.num_replicas,
            "A fixed number does not go with autoscaling_config.",
            "Remove one of the two.",
        )


def replica_bounds_are_ordered(doc: Document, path: Path, deployment: DeploymentSchema) -> Problems:
    """min_replicas <= initial_replicas <= max_replicas."""
    scaling = deployment.autoscaling_config
    if scaling is None:
        return
    low, high, start = scaling.min_replicas, scaling.max_replicas, scaling.initial_replicas
    where = (*path, "autoscaling_config")
    if low > high:
        yield doc.problem(
            (*where, "min_replicas"), low, f"More than max_replicas ({high}).", f"Write {high} or less."
        )
    elif start is not None and not low <= start <= high:
        yield doc.problem(
            (*where, "initial_replicas"),
            start,
            f"Not between min_replicas ({low}) and max_replicas ({high}).",
            f"Write {low} to {high}.",
        )


def scaling_looks_back_over_reports(doc: Document, path: Path, deployment: DeploymentSchema) -> Problems:
    """The window that is averaged holds more than one report."""
    scaling = deployment.autoscaling_config
    if scaling is not None and scaling.look_back_period_s <= scaling.metrics_interval_s:
        yield doc.problem(
            (*path, "autoscaling_config", "look_back_period_s"),
            scaling.look_back_period_s,
            f"Not longer than metrics_interval_s ({scaling.metrics_interval_s:g} s between reports).",
            f"Write more than {scaling.metrics_interval_s:g}, a few times as much.",
        )


def scaling_down_waits(doc: Document, path: Path, deployment: DeploymentSchema) -> Problems:
    """A replica is not taken away for a pause shorter than the window that is averaged."""
    scaling = deployment.autoscaling_config
    if scaling is None:
        return
    delays = {"downscale_delay_s": scaling.downscale_delay_s}
    if scaling.min_replicas == 0 and scaling.downscale_to_zero_delay_s is not None:
        delays["downscale_to_zero_delay_s"] = scaling.downscale_to_zero_delay_s
    for key, delay in delays.items():
        if delay < scaling.look_back_period_s:
            yield doc.problem(
                (*path, "autoscaling_config", key),
                delay,
                f"Shorter than look_back_period_s ({scaling.look_back_period_s:g} s): replicas come and go.",
                f"Write {scaling.look_back_period_s:g} or more, rather several minutes.",
            )


RULES: tuple[Callable[[Document, Path, DeploymentSchema], Problems], ...] = (
    replicas_are_fixed_or_scale,
    replica_bounds_are_ordered,
    scaling_looks_back_over_reports,
    scaling_down_waits,
)

"""What several rules share."""

from collections.abc import Iterator, Sequence

from modem.serve_config.document import Document, Expert
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.problems import Path, Problem, suggest
from modem.serve_config.schema import AutoscalingConfig, DeploymentSchema

Problems = Iterator[Problem]


def known_deployments(
    doc: Document, path: Path, deployments: Sequence[DeploymentSchema], known: tuple[str, ...]
) -> Problems:
    """The deployments that an application names exist, each once; Serve refuses other names."""
    seen: set[str] = set()
    for index, deployment in enumerate(deployments):
        where = (*path, "deployments", index, "name")
        if deployment.name not in known:
            yield doc.problem(
                where,
                deployment.name,
                "The application has no such deployment.",
                suggest(deployment.name, known),
            )
        elif deployment.name in seen:
            yield doc.problem(where, deployment.name, "The deployment stands here twice.", "Merge the two.")
        seen.add(deployment.name)


SCALING_IN_ARGS = ("args", "deployment_config", "autoscaling_config")


def scaling_of(expert: Expert) -> tuple[Path, AutoscalingConfig | None]:
    """Return the autoscaling that holds: the override's, else that of the args, as in Serve."""
    path, override = expert.deployment or (expert.path, None)
    inner = expert.args.deployment_config.autoscaling_config if isinstance(expert.args, ExpertArgs) else None
    if inner is not None and (override is None or override.autoscaling_config is None):
        return (*expert.path, *SCALING_IN_ARGS), inner
    return (*path, "autoscaling_config"), override.autoscaling_config if override else None

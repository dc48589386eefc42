"""What several rules share."""

from collections.abc import Iterator, Sequence

from modem.serve_config.document import Document
from modem.serve_config.problems import Path, Problem, suggest
from modem.serve_config.schema import DeploymentSchema

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

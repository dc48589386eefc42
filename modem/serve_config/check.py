"""Check a Serve config file without Ray, vLLM or hardware."""

from pathlib import Path as FilePath

from modem.serve_config.document import Document, read
from modem.serve_config.problems import Problem
from modem.serve_config.rules import deployment, domains, expert, front, policy

__all__ = ["Problem", "check_file", "check_text"]


def check_file(path: FilePath | str) -> list[Problem]:
    """Return all that is wrong with a file; empty if it can be deployed.

    Raises:
        OSError: The file cannot be read.
    """
    return check_text(FilePath(path).read_text(encoding="utf-8"), str(path))[1]


def check_text(text: str, file: str) -> tuple[Document | None, list[Problem]]:
    """Read and check a file's text.

    Args:
        text: YAML.
        file: The file's name, for the problems.

    Returns:
        The document, as far as it could be read, and what is wrong with it.
    """
    doc, problems = read(text, file)
    if doc is not None:
        problems = [*problems, *_broken_rules(doc)]
    return doc, problems


def _broken_rules(doc: Document) -> list[Problem]:
    found = [problem for rule in (*front.RULES, *domains.RULES, *policy.RULES) for problem in rule(doc)]
    for each in doc.experts():
        found.extend(problem for rule in expert.RULES for problem in rule(doc, each))
    for path, options in doc.deployments():
        found.extend(problem for rule in deployment.RULES for problem in rule(doc, path, options))
    return found

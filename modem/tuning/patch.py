"""Writing recommended settings into a Serve config file: numbers where they stand, policies as blocks.

A policy stands in its application's ``autoscaling_policy`` (`modem.tuning.settings.Settings.own_policy`). One
that stands in the deployment's ``autoscaling_config`` would be put out of action by it, and is removed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modem.errors import ConfigError
from modem.serve_config.check import check_text
from modem.serve_config.document import Document
from modem.serve_config.problems import Path
from modem.serve_config.schema import AutoscalingPolicy
from modem.tuning.edit import remove_key, set_values
from modem.tuning.settings import Settings

POLICY = "autoscaling_policy"
"""Key of an application's policy."""

REASON = "Chosen by `modem tune`."
"""Comment above what is new in a file."""


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs.

    Attributes:
        application: Whose.
        key: Under the deployment's ``autoscaling_config``, or the application's ``autoscaling_policy``.
        before: None if it was not set.
        after: What is written; None if it is removed.
        restarts: The application's deployments restart when the file is deployed.
    """

    application: str
    key: str
    before: object
    after: object
    restarts: bool


@dataclass(frozen=True, slots=True)
class Patch:
    """A changed file.

    Attributes:
        text: All of it.
        changes: What is different in it.
    """

    text: str
    changes: tuple[Change, ...]


def patch(text: str, file: str, chosen: Mapping[str, Settings]) -> Patch:
    """Write settings into a config file's text.

    Args:
        text: The file's content.
        file: Its name, for messages.
        chosen: Settings by domain.

    Raises:
        ConfigError: The file is wrong, would be wrong, or cannot be changed in place.
    """
    doc, problems = check_text(text, file)
    if doc is None or doc.gateway is None or problems:
        raise ConfigError("\n".join(map(str, problems)) or f"{file}: no Gateway with domains in it")
    changes: list[Change] = []
    changed = text
    for domain, settings in chosen.items():
        place = _place(doc, domain)
        scaling = _scaling(settings, place.scaling)
        policy = _policy(settings)
        changed = set_values(changed, place.scaling_path, scaling, file, REASON)
        if "policy" in place.scaling:
            changed = remove_key(changed, place.scaling_path, "policy", file, REASON)
        if policy is None and place.policy is not None:
            changed = remove_key(changed, place.path, POLICY, file, REASON)
        elif policy is not None and policy != place.policy:
            changed = set_values(changed, place.path, {POLICY: policy}, file, REASON)
        changes += _changes(place, scaling, policy)
    _, problems = check_text(changed, file)
    if problems:
        raise ConfigError("the changed file would be wrong:\n" + "\n".join(map(str, problems)))
    return Patch(changed, tuple(changes))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the autoscaling of one expert stands, and what it says.

    Attributes:
        application: Name of its application.
        path: Where that stands.
        scaling_path: Where the ``autoscaling_config`` of its deployment stands.
        scaling: What is written there.
        policy: What is written as the application's policy; None for none.
    """

    application: str
    path: Path
    scaling_path: Path
    scaling: Mapping[str, Any]
    policy: Mapping[str, Any] | None


def _place(doc: Document, domain: str) -> _Place:
    config = doc.gateway.domains[domain] if doc.gateway else None
    for application in doc.applications:
        schema = application.schema
        if config is None or schema is None or application.name != config.application:
            continue
        for index, deployment in enumerate(schema.deployments):
            scaling = deployment.autoscaling_config
            if deployment.name == config.deployment and scaling is not None:
                return _Place(
                    application.name,
                    application.path,
                    (*application.path, "deployments", index, "autoscaling_config"),
                    scaling.model_dump(mode="json", exclude_unset=True),
                    _written(schema.autoscaling_policy),
                )
    raise ConfigError(f"{doc.file}: domain {domain}: no autoscaling_config under deployments to change")


def _written(policy: AutoscalingPolicy | None) -> Mapping[str, Any] | None:
    return None if policy is None else policy.model_dump(mode="json", exclude_unset=True)


def _policy(settings: Settings) -> Mapping[str, Any] | None:
    policy = settings.own_policy
    if policy is None:
        return None
    params = dict(policy.policy_kwargs)
    return {"policy_function": policy.policy_function, **({"policy_kwargs": params} if params else {})}


def _scaling(settings: Settings, before: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the numbers that differ from what stands there."""
    wanted: dict[str, Any] = dict(settings.scaling)
    start = before.get("initial_replicas")
    if start is not None and start < int(wanted.get("min_replicas", 0)):
        wanted["initial_replicas"] = wanted["min_replicas"]
    return {key: value for key, value in wanted.items() if before.get(key) != value}


def _changes(place: _Place, scaling: Mapping[str, Any], policy: Mapping[str, Any] | None) -> Iterator[Change]:
    for key, value in scaling.items():
        yield Change(place.application, key, place.scaling.get(key), value, False)
    before = place.policy or place.scaling.get("policy")
    if policy != before:
        yield Change(place.application, POLICY, before, policy, True)

"""A Serve config file read piece by piece, so that one wrong piece hides no other.

Each application is validated on its own, then its ``args`` by what its builder takes, then the
Gateway's ``user_config``. A piece that does not validate is None, and the rules skip it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from pydantic import BaseModel

from modem.config import GatewayConfig, ModemConfig, SimulatedExpertConfig
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.problems import Path, Problem, render, validate
from modem.serve_config.schema import ApplicationSchema, DeploymentSchema, ServeDeploySchema

Kind = Literal["front", "llm", "simulated", "foreign"]
Args = ModemConfig | ExpertArgs | SimulatedExpertConfig

BUILDERS: Mapping[str, Kind] = {
    "deployments.gateway:build": "front",
    "deployments.expert:build": "llm",
    "deployments.simulated:build": "simulated",
}
_ARGS: Mapping[Kind, type[BaseModel]] = {
    "front": ModemConfig,
    "llm": ExpertArgs,
    "simulated": SimulatedExpertConfig,
}


@dataclass(frozen=True, slots=True)
class Application:
    """One application of the file.

    Attributes:
        index: Its position.
        name: Its name, even if the rest is wrong.
        kind: Which builder makes it; ``foreign`` if none of ours.
        schema: The entry; None if it does not validate.
        args: What its builder gets; None if they do not validate or nobody here knows them.
    """

    index: int
    name: str
    kind: Kind
    schema: ApplicationSchema | None
    args: Args | None

    @property
    def path(self) -> Path:
        """Where it stands in the file."""
        return ("applications", self.index)


@dataclass(frozen=True, slots=True)
class Expert:
    """An expert application of ours whose entry and ``args`` are valid by themselves.

    Attributes:
        application: Where it comes from.
        schema: Its entry.
        args: What its builder gets.
        path: Where the application stands.
    """

    application: Application
    schema: ApplicationSchema
    args: ExpertArgs | SimulatedExpertConfig
    path: Path

    @property
    def deployment(self) -> tuple[Path, DeploymentSchema] | None:
        """Path and entry of the deployment ``Expert``; None if the file does not name it."""
        for index, deployment in enumerate(self.schema.deployments):
            if deployment.name == "Expert":
                return (*self.path, "deployments", index), deployment
        return None

    @property
    def model_id(self) -> tuple[Path, str]:
        """Path and value of the name it answers under."""
        if isinstance(self.args, SimulatedExpertConfig):
            return (*self.path, "args", "model_id"), self.args.model_id
        return (
            *self.path,
            "args",
            "model_loading_config",
            "model_id",
        ), self.args.model_loading_config.model_id

    def engine_number(self, name: str) -> int | None:
        """Return a whole number of the engine's settings; None if it is not set, or no number."""
        if isinstance(self.args, SimulatedExpertConfig):
            value = getattr(self.args, name)
        else:
            value = self.args.engine_kwargs.get(name)
        return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file.

    Attributes:
        file: As the caller named it.
        deploy: All but the applications; None if it does not validate.
        applications: In the order of the file.
        gateway: The ``user_config`` of the ``Gateway``; None if absent or wrong.
        gateway_path: Where it stands.
    """

    file: str
    deploy: ServeDeploySchema | None
    applications: tuple[Application, ...]
    gateway: GatewayConfig | None
    gateway_path: Path

    @property
    def fronts(self) -> list[Application]:
        """The front applications; there should be one."""
        return [application for application in self.applications if application.kind == "front"]

    def experts(self) -> Iterator[Expert]:
        """Yield the expert applications of ours that are valid by themselves."""
        for application in self.applications:
            schema, args = application.schema, application.args
            if schema is not None and isinstance(args, ExpertArgs | SimulatedExpertConfig):
                yield Expert(application, schema, args, application.path)

    def deployments(self) -> Iterator[tuple[Path, DeploymentSchema]]:
        """Yield path and entry of every deployment."""
        for application in self.applications:
            for index, deployment in enumerate(application.schema.deployments if application.schema else ()):
                yield (*application.path, "deployments", index), deployment

    def problem(self, path: Path, value: object, message: str, remedy: str) -> Problem:
        """Return a problem of this file."""
        return Problem(self.file, render(path), value, message, remedy)


def read_yaml(text: str, file: str) -> tuple[Any, list[Problem]]:
    """Parse YAML; a key written twice or that is no text is a problem too, unlike in Ray."""
    try:
        raw = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else _WHOLE
        return None, [Problem(file, where, None, f"Not valid YAML: {error.problem}.", _YAML_REMEDY)]
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-13-01 is a ValueError
        return None, [Problem(file, _WHOLE, None, f"Not valid YAML: {error}.", _YAML_REMEDY)]
    except RecursionError:
        return None, [Problem(file, _WHOLE, None, "Too many levels of brackets.", _YAML_REMEDY)]
    try:
        json.dumps(raw, default=str)
    except ValueError:
        message = "A value holds itself: an alias stands within its own anchor."
        return None, [Problem(file, _WHOLE, None, message, "Write the value out where it is used.")]
    return raw, []


_WHOLE = "(the whole file)"
_YAML_REMEDY = "Mend the line: indent with spaces, quote texts that hold ': ' or ' #', close every bracket."


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, without its silence about keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is not a text, put it in quotes",
                    problem_mark=key.start_mark,
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands here twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(text: str, file: str) -> tuple[Document | None, list[Problem]]:
    """Read a file's text.

    Returns:
        The document, None if it is no mapping with a list of applications, and what is wrong
        with its pieces taken one by one.
    """
    raw, problems = read_yaml(text, file)
    if problems:
        return None, problems
    entries = raw.get("applications") if isinstance(raw, Mapping) else None
    if not isinstance(entries, list):
        return None, validate(ServeDeploySchema, raw, file, ())[1]
    deploy, problems = validate(ServeDeploySchema, {**raw, "applications": []}, file, ())
    applications = []
    for index, entry in enumerate(entries):
        application, wrong = _application(index, entry, file)
        applications.append(application)
        problems.extend(wrong)
    gateway, path, wrong = _gateway(applications, file)
    return Document(file, deploy, tuple(applications), gateway, path), [*problems, *wrong]


def _application(index: int, entry: object, file: str) -> tuple[Application, list[Problem]]:
    path: Path = ("applications", index)
    schema, problems = validate(ApplicationSchema, entry, file, path)
    fields = entry if isinstance(entry, Mapping) else {}
    kind = builder_kind(str(fields.get("import_path")))
    args = None
    if kind in _ARGS:
        parsed, wrong = validate(_ARGS[kind], fields.get("args", {}), file, (*path, "args"))
        args = parsed if isinstance(parsed, ModemConfig | ExpertArgs | SimulatedExpertConfig) else None
        problems = [*problems, *wrong]
    return Application(index, str(fields.get("name", "default")), kind, schema, args), problems


def builder_kind(import_path: str) -> Kind:
    """Return whose builder an import path names; Ray also takes a dot for the colon."""
    module, _, name = import_path.rpartition(":" if ":" in import_path else ".")
    return BUILDERS.get(f"{module}:{name}", "foreign")


def _gateway(applications: list[Application], file: str) -> tuple[GatewayConfig | None, Path, list[Problem]]:
    """Find and validate the first Gateway's settings."""
    for application in applications:
        if application.kind != "front" or application.schema is None:
            continue
        for index, deployment in enumerate(application.schema.deployments):
            path = (*application.path, "deployments", index, "user_config")
            if deployment.name == "Gateway" and deployment.user_config is not None:
                gateway, problems = validate(GatewayConfig, deployment.user_config, file, path)
                return gateway, path, problems
    return None, (), []

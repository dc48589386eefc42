"""Finding and reading scenarios: those that come with the load tester by name, others by path."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from modem.errors import ConfigError
from modem.load.hint import hint
from modem.load.scenario import Scenario
from modem.load.shipped import folder
from modem.serve_config.problems import validate

_SUFFIXES = (".yaml", ".yml")


def scenario_names() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the load tester.

    Raises:
        ConfigError: The package is not installed.
    """
    return tuple(sorted(path.stem for path in folder("scenarios").glob("*.yaml")))


def read_scenario(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Read a scenario.

    Files that it names are looked for from the working directory, then from its own folder; the scenario
    that is returned has their full paths.

    Args:
        name_or_path: One of `scenario_names`, or a YAML file.
        overrides: Values for keys of it, with dots for keys within keys: ``sessions.think_s``. A text is
            read as YAML, so ``"[[0, 1], [60, 5]]"`` are points.

    Raises:
        ConfigError: There is no such scenario, or something in it is wrong; names file, key, value, remedy.
    """
    path = _find(name_or_path)
    raw: dict[str, Any] = {"name": path.stem, **_mapping(path)}
    for key, value in (overrides or {}).items():
        _put(raw, key, _value(key, value))
    scenario, problems = validate(Scenario, raw, str(path), ())
    if scenario is None:
        raise ConfigError("\n".join(map(str, problems)))
    return _located(scenario, path.parent)


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in _SUFFIXES or path.is_file():
        return path
    known = scenario_names()
    if name_or_path in known:
        return folder("scenarios") / f"{name_or_path}.yaml"
    otherwise = f"there are {', '.join(known)}, or write a .yaml file"
    raise ConfigError(f"no scenario {name_or_path!r}: {hint(name_or_path, known, otherwise)}")


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected lines of 'key: value', such as 'rate: 2'")
    return {str(key): value for key, value in content.items()}


def _put(raw: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for part in outer:
        inner = raw.get(part)
        raw[part] = dict(inner) if isinstance(inner, Mapping) else {}
        raw = raw[part]
    raw[last] = value


def _value(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{key}={value!r}: not YAML: {error}") from error


def _located(scenario: Scenario, beside: Path) -> Scenario:
    """Return the scenario with full paths, so that it means the same in every worker's directory."""
    updates: dict[str, Any] = {}
    if scenario.prompts is not None:
        updates["prompts"] = _full(scenario.prompts, beside)
    if scenario.replay is not None:
        trace = _full(scenario.replay.trace, beside)
        updates["replay"] = scenario.replay.model_copy(update={"trace": trace})
    return scenario.model_copy(update=updates)


def _full(name: str, beside: Path) -> str:
    """Return the full path of a file, ``=domain`` after it kept; what names none (``poisson:...``) stays."""
    head, equals, domain = name.rpartition("=")
    for file, rest in ((name, ""), (head, equals + domain)):
        for candidate in (Path(file), beside / file):
            if file and candidate.exists():
                return f"{candidate.resolve()}{rest}"
    return name

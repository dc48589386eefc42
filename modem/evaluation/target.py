"""What is measured: a router, and the settings that decide on its scores."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modem.config import GatewayConfig, RouterConfig
from modem.errors import ConfigError
from modem.evaluation.measure import serving_all
from modem.routing.base import Router
from modem.routing.load import load_router
from modem.routing.strategies.catalogue import IMPORT_PATHS


def load_target(config: Path | None, model: str | None, kind: str | None) -> tuple[Router, GatewayConfig]:
    """Load a router and its settings.

    Args:
        config: A Serve config file, for its router, domains and thresholds. None: ``model``, all its
            domains and the default thresholds.
        model: What `router_config` takes; None with a ``config``, or for the shipped router.
        kind: The same.

    Raises:
        ConfigError: Both are given, something is missing, or the file is wrong.
    """
    if config is not None:
        if model is not None or kind is not None:
            raise ConfigError("give either --config or --model with --kind: the file names its router itself")
        return _from_file(config)
    router = load_router(router_config(model, kind))
    return router, serving_all(router.domains)


def router_config(model: str | None, kind: str | None = None) -> RouterConfig:
    """Return the settings that serve what stands at a place.

    Args:
        model: A folder written by ``modem router train`` or ``modem router compare``, a Hugging Face
            checkpoint, a linear head (``.safetensors``); None for the shipped router.
        kind: As in `modem.config.RouterConfig`; told from the files by default.

    Raises:
        ConfigError: Nothing known is there.
    """
    if model is None:
        settings: dict[str, Any] = {} if kind is None else {"kind": kind}
    elif kind is None and _strategy(Path(model)) is not None:
        path = IMPORT_PATHS.get(_strategy(Path(model)) or "")
        settings = {"kind": "custom", "import_path": path, "options": {"folder": model}}
    else:
        kind = kind or _kind_of(Path(model).expanduser())
        settings = {"kind": kind, "head" if kind == "linear" else "model": model}
    try:
        return RouterConfig.model_validate(settings)
    except ValidationError as error:
        found = error.errors()[0]
        raise ConfigError(f"router: {'.'.join(map(str, found['loc']))}: {found['msg']}") from error


def _from_file(config: Path) -> tuple[Router, GatewayConfig]:
    from modem.routing.added import with_added
    from modem.serve_config.load import load

    front = load(config).front
    return with_added(load_router(front.args.router), front.gateway.added_domains()), front.gateway


def _kind_of(path: Path) -> str:
    if path.suffix == ".safetensors":
        return "linear"
    for name, kind in {"config.json": "encoder", "router.json": "compact"}.items():
        if (path / name).is_file():
            return kind
    raise ConfigError(
        f"{path}: no router is there (no router.json, no config.json, no strategy.json); "
        "write one with: modem router train"
    )


def _strategy(path: Path) -> str | None:
    """Return which fitted strategy a folder holds; None if it holds none."""
    try:
        content: Any = json.loads((path.expanduser() / "strategy.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("strategy") if isinstance(content, dict) else None

"""From configuration to a router that answers."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from modem.config import SHIPPED, RouterConfig
from modem.errors import ConfigError
from modem.routing.base import Router
from modem.routing.cache import Cached
from modem.routing.compact import CompactRouter
from modem.routing.encoder import SentenceEncoder
from modem.routing.encoder_router import EncoderRouter
from modem.routing.familiar import Familiar
from modem.routing.linear import LinearHead, LinearRouter

SHIPPED_HEAD = Path(__file__).parent / "heads" / "minilm-linear.safetensors"

SHIPPED_ROUTER = Path(__file__).parent / "shipped"
"""Folder of the compact router in this package."""

_PROTOCOL = ("identity", "domains", "score")


def load_router(config: RouterConfig) -> Router:
    """Build the router that the configuration asks for. Takes a moment: it loads a model.

    Raises:
        ConfigError: A folder, the head, the encoder or the import path is missing or does not fit.
    """
    router = _base(config)
    # A custom router knows itself what it was made for, and may say so.
    if config.kind != "custom":
        router = Familiar(router)
    return Cached(router, config.cache_size) if config.cache_size else router


def head_path(head: str) -> Path:
    """Return the file that ``RouterConfig.head`` names."""
    return SHIPPED_HEAD if head == SHIPPED else Path(head).expanduser()


def model_path(model: str) -> Path:
    """Return the folder that ``RouterConfig.model`` names."""
    return SHIPPED_ROUTER if model == SHIPPED else Path(model).expanduser()


def _base(config: RouterConfig) -> Router:
    if config.import_path is not None:
        return _custom(config.import_path, dict(config.options))
    if config.kind == "compact":
        return CompactRouter(model_path(config.model), config.num_threads or 1)
    if config.kind == "encoder":
        return EncoderRouter(model_path(config.model), config.max_batch_tokens, config.num_threads)
    return LinearRouter(
        SentenceEncoder(config.encoder, config.max_batch_size), LinearHead.load(head_path(config.head))
    )


def _custom(import_path: str, options: dict[str, Any]) -> Router:
    """Call the factory at ``module:callable`` and check that it made a router."""
    factory = _import(import_path)
    try:
        inspect.signature(factory).bind(**options)
    except (TypeError, ValueError) as error:  # ValueError: a built-in without a signature
        raise ConfigError(f"router.options do not fit {import_path}: {error}") from error
    router = factory(**options)
    missing = [name for name in _PROTOCOL if not hasattr(router, name)]
    if missing:
        raise ConfigError(
            f"router.import_path: {import_path} returned a {type(router).__name__} without "
            f"{', '.join(missing)}; see modem.routing.base.Router"
        )
    return cast(Router, router)


def _import(import_path: str) -> Callable[..., object]:
    """Resolve ``module:callable``."""
    module_name, _, attribute = import_path.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"router.import_path: {import_path!r} is not of the form 'module:callable'")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"router.import_path: cannot import {import_path!r}: {error}") from error
    if not callable(found):
        raise ConfigError(f"router.import_path: {import_path!r} is not callable")
    return cast(Callable[..., object], found)

"""A fitted strategy on disk: names in JSON, numbers in safetensors, never a pickle."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from modem.errors import ConfigError
from modem.types import RouterIdentity

_NAMES = "strategy.json"
_NUMBERS = "strategy.safetensors"
_REMEDY = "write one with: modem router compare --data DIR --out FOLDER"

Arrays = Mapping[str, NDArray[Any]]


class Fitted(ABC):
    """A strategy that has learnt something and can be written down.

    Attributes:
        kind: Of the strategy.
    """

    kind: ClassVar[str]

    def save(self, folder: Path) -> None:
        """Write it for the ``load`` of its module."""
        write_state(folder, self.kind, self._names(), self._arrays())

    def _identity(self) -> RouterIdentity:
        return identity(self.kind, self._names(), self._arrays())

    @abstractmethod
    def _names(self) -> Mapping[str, Any]:
        """Return what JSON can hold of what was learnt."""

    @abstractmethod
    def _arrays(self) -> Arrays:
        """Return the rest."""


def write_state(folder: Path, kind: str, names: Mapping[str, Any], arrays: Arrays) -> None:
    """Write what a strategy has learnt.

    Args:
        folder: Made if it is missing.
        kind: Of the strategy; `read_state` refuses another.
        names: What JSON can hold.
        arrays: The rest.

    Raises:
        ConfigError: The folder cannot be written.
    """
    numbers = _bytes(arrays)
    content = {"strategy": kind, "version": _version(names, numbers), **names}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _NAMES).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / _NUMBERS).write_bytes(numbers)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error


def read_state(folder: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_state` wrote.

    Raises:
        ConfigError: There is nothing of the kind in the folder; says how to get it.
    """
    path = Path(folder).expanduser()
    try:
        names: Any = json.loads((path / _NAMES).read_text(encoding="utf-8"))
        arrays = load((path / _NUMBERS).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except (ValueError, SafetensorError) as error:
        raise ConfigError(f"{path}: not a fitted strategy ({error}); {_REMEDY}") from error
    found = names.get("strategy") if isinstance(names, dict) else None
    if found != kind:
        raise ConfigError(f"{path}: holds the strategy {found!r}, not {kind!r}; {_REMEDY}")
    return names, arrays


def identity(kind: str, names: Mapping[str, Any], arrays: Arrays) -> RouterIdentity:
    """Return a router's identity, whose version differs whenever what it has learnt does."""
    return RouterIdentity(kind, _version(names, _bytes(arrays)))


def _bytes(arrays: Arrays) -> bytes:
    # safetensors writes memory as it lies, so an array in Fortran order would come back scrambled.
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _version(names: Mapping[str, Any], numbers: bytes) -> str:
    own = {key: names[key] for key in sorted(names) if key not in ("strategy", "version")}
    return hashlib.sha256(json.dumps(own).encode() + numbers).hexdigest()[:8]

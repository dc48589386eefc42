"""The shipped kind of router: a linear head on a frozen sentence encoder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from modem.errors import ConfigError
from modem.routing.calibration import softmax
from modem.routing.encoder import SentenceEncoder
from modem.routing.scores import by_domain
from modem.types import DomainScores, RouterIdentity

_FORMAT = "modem-linear-1"
_REMEDY = "use the shipped head, or kind: compact, which `modem router train` writes"


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Multinomial logistic regression: ``softmax(weights @ embedding + bias)``.

    Attributes:
        name: Reported with every decision.
        version: The same; differs whenever the weights do.
        domains: The k domains in the order of the rows.
        weights: Shape ``[k, dim]``.
        bias: Shape ``[k]``.
        encoder: Name of the encoder it was fitted on.
        encoder_sha256: SHA-256 of that encoder's weights file, as hex.
        trained_on: Date of the training, ISO 8601.
    """

    name: str
    version: str
    domains: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    encoder: str
    encoder_sha256: str
    trained_on: str

    def __post_init__(self) -> None:
        k = len(self.domains)
        if k == 0 or len(set(self.domains)) != k:
            raise ConfigError(f"router head: domains must be named once each, not {list(self.domains)}")
        if self.weights.ndim != 2 or self.weights.shape[0] != k or self.bias.shape != (k,):
            raise ConfigError(
                f"router head: {k} domains need weights [{k}, dim] and bias [{k}], "
                f"not {list(self.weights.shape)} and {list(self.bias.shape)}"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise ConfigError("router head: weights or bias hold numbers that are not finite")

    def probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities of shape ``[n, k]`` for embeddings of shape ``[n, dim]``."""
        logits = embeddings.astype(np.float64) @ self.weights.T.astype(np.float64) + self.bias
        return softmax(logits)

    def save(self, path: Path) -> None:
        """Write the head as safetensors; the rest goes into its metadata.

        Raises:
            ConfigError: The file cannot be written.
        """
        metadata = {
            "format": _FORMAT,
            "name": self.name,
            "version": self.version,
            "domains": json.dumps(self.domains),
            "encoder": self.encoder,
            "encoder_sha256": self.encoder_sha256,
            "trained_on": self.trained_on,
        }
        # safetensors writes memory as it lies, so an array in Fortran order would come back scrambled.
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in ("weights", "bias")}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(save(tensors, metadata))
        except OSError as error:
            raise ConfigError(f"router head {path}: cannot be written: {error}") from error

    @classmethod
    def load(cls, path: Path) -> "LinearHead":
        """Read what `save` wrote.

        Raises:
            ConfigError: There is no such file, or it is not a router head; says how to get one.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if metadata.get("format") != _FORMAT:
                raise ConfigError(f"its format is {metadata.get('format')!r}, not {_FORMAT!r}")
            return cls(
                name=metadata["name"],
                version=metadata["version"],
                domains=_domains(metadata["domains"]),
                weights=tensors["weights"].astype(np.float32),
                bias=tensors["bias"].astype(np.float32),
                encoder=metadata["encoder"],
                encoder_sha256=metadata["encoder_sha256"],
                trained_on=metadata["trained_on"],
            )
        except OSError as error:
            raise ConfigError(f"router head {path}: cannot be read ({error}); {_REMEDY}") from error
        except KeyError as error:
            raise ConfigError(f"router head {path}: lacks {error}; {_REMEDY}") from error
        except (ConfigError, SafetensorError, ValueError) as error:
            raise ConfigError(f"router head {path}: not usable: {error}; {_REMEDY}") from error


class LinearRouter:
    """A `modem.routing.base.Router`: encoder and head.

    Args:
        encoder: Embeds the texts.
        head: Classifies the embeddings.

    Raises:
        ConfigError: The head was fitted on another encoder.
    """

    def __init__(self, encoder: SentenceEncoder, head: LinearHead) -> None:
        if head.weights.shape[1] != encoder.dim or head.encoder_sha256 != encoder.weights_sha256():
            raise ConfigError(
                f"router head {head.name} was fitted on the encoder {head.encoder} "
                f"(sha256 {head.encoder_sha256[:12]}...), not on {encoder.name}; "
                f"use that encoder, or {_REMEDY}"
            )
        self._encoder = encoder
        self._head = head

    @property
    def identity(self) -> RouterIdentity:
        """Name and version of the head."""
        return RouterIdentity(self._head.name, self._head.version)

    @property
    def domains(self) -> tuple[str, ...]:
        """The head's domains, in its order."""
        return self._head.domains

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text; see `modem.routing.base.Router`."""
        if not texts:
            return []
        probabilities = self._head.probabilities(self._encoder.encode(texts))
        return by_domain(probabilities, self.domains, texts)


def _domains(text: str) -> tuple[str, ...]:
    """Parse the metadata's list of domains."""
    domains = json.loads(text)
    if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
        raise ConfigError(f"domains must be a list of names, not {text}")
    return tuple(domains)

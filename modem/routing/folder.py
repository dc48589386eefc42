"""The folder of a trained compact router, as serving reads it; `modem.training.folder` writes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, StringConstraints, ValidationError, field_validator

from modem.config import Config, DomainId
from modem.errors import ConfigError
from modem.routing.neighbours import NeighboursConfig

MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
ROUTER = "router.json"
BACKGROUND = "background.safetensors"

REMEDY = "train one with: modem router train --config training/compact.yaml --data DIR --out FOLDER"

Name = Annotated[str, StringConstraints(min_length=1)]


class RouterFile(Config):
    """What ``router.json`` says of the router. Keys that are not known belong to other readers.

    Attributes:
        format: Of the folder.
        name: Reported with every decision.
        version: The same; differs whenever the weights do.
        domains: The k domains in the order of the logits.
        temperature: Logits are divided by it.
        max_tokens: Tokens of a text that are read, special tokens included.
        trained_on: Date of the training, ISO 8601.
        base: The encoder it was trained from.
        neighbours: How the training prompts vote beside the head; None: they do not.
    """

    model_config = ConfigDict(extra="ignore")

    format: Literal["modem-router-1"]
    name: Name
    version: Name
    domains: tuple[DomainId, ...] = Field(min_length=2)
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(ge=3, le=8192)
    trained_on: str = ""
    base: str = ""
    neighbours: NeighboursConfig | None = None

    @field_validator("domains")
    @classmethod
    def _once_each(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(domains)) != len(domains):
            raise ValueError("domains must be named once each")
        return domains


@dataclass(frozen=True, slots=True)
class Background:
    """Some of the prompts that a router was trained on, as embeddings: what an added domain is told from.

    Attributes:
        embeddings: Shape ``[m, dim]``, rows of length 1.
        labels: Shape ``[m]``: the column of each prompt's domain.
    """

    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]


def read_router_file(folder: Path) -> RouterFile:
    """Read what a folder says of its router.

    Raises:
        ConfigError: There is no such folder, it is another kind of folder, or a value is wrong.
    """
    if not folder.is_dir():
        raise ConfigError(f"router.model: there is no folder {str(folder)!r}; {REMEDY}")
    file = folder / ROUTER
    if not file.is_file():
        raise ConfigError(f"router.model: {folder} has no {ROUTER}, {_what_it_is(folder)}")
    for name in (MODEL, TOKENIZER):
        if not (folder / name).is_file():
            raise ConfigError(f"router.model: {folder} has no {name}, {_what_it_is(folder)}")
    try:
        return RouterFile.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"router.model: {file} is not usable: {error}; {REMEDY}") from error


def read_background(folder: Path, dim: int, num_domains: int) -> Background | None:
    """Read the background embeddings of a folder; None if it has none.

    Raises:
        ConfigError: They are not those of this router.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / BACKGROUND
    if not file.is_file():
        return None
    try:
        tensors = load_file(file)
        found = Background(tensors["embeddings"].astype(np.float32), tensors["labels"].astype(np.int64))
    except (OSError, SafetensorError, KeyError) as error:
        raise ConfigError(f"router.model: {file} is not usable: {error}; {REMEDY}") from error
    rows = len(found.labels)
    if found.embeddings.shape != (rows, dim) or not set(found.labels.tolist()) <= set(range(num_domains)):
        raise ConfigError(
            f"router.model: {file} has embeddings {list(found.embeddings.shape)} and {rows} labels, not "
            f"[m, {dim}] and m labels of {num_domains} domains: it is another router's; {REMEDY}"
        )
    return found


def _what_it_is(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return "but a config.json as Hugging Face checkpoints have: write kind: encoder"
    return f"so it is no compact router's; {REMEDY}"

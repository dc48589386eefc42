"""A random encoder of two layers and its tokenizer, small enough to be trained in a test."""

import re
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from modem.training.data import Prompt
from modem.training.recipe import Recipe
from tests.unit.training.prompts import rows

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    """Write a BERT with 16 hidden units that knows the words of `rows`."""
    import torch
    from transformers import BertConfig, BertModel

    words = sorted({word for text, _, _ in rows() for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    _tokenizer([*SPECIAL, *words]).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    ids = {word: index for index, word in enumerate(vocabulary)}
    backend = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def recipe(base: Path, **changes: Any) -> Recipe:
    """A recipe that trains in seconds."""
    settings: dict[str, Any] = {
        "name": "tiny",
        "base": str(base),
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "max_tokens": 32,
        "checkpoint_steps": 4,
        "augmentation": {"noise": 4},
        **changes,
    }
    return Recipe.model_validate(settings)


def prompts(per_domain: int = 20) -> list[Prompt]:
    """Prompts of three domains."""
    return [
        Prompt(text, domain, source, f"f:{i}") for i, (text, domain, source) in enumerate(rows(per_domain))
    ]


def no_bar(what: str, total: int) -> Any:
    """A progress bar that shows nothing."""
    return nullcontext(lambda number: None)

"""A language model of a few hundred thousand random weights: an engine's whole path without a download."""

from pathlib import Path

CONTEXT_TOKENS = 1024
# Printable ASCII and the line break, in the spelling of byte-level tokenizers: any output is text.
_ALPHABET = ["Ċ", "Ġ", *(chr(code) for code in range(33, 127))]
_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant: "
)


def write_tiny_model(folder: Path) -> Path:
    """Write configuration and tokenizer of the model; its weights are for ``load_format: dummy``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate(["<|end|>", *_ALPHABET])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        model_max_length=CONTEXT_TOKENS,
        chat_template=_CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=len(vocabulary),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=None,
        eos_token_id=vocabulary["<|end|>"],
        dtype="bfloat16",
    )
    config.save_pretrained(folder)
    return folder

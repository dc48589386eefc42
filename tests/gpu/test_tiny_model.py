"""The tiny model of the GPU tests, as far as it can be checked without a GPU."""

from pathlib import Path

from tests.gpu.tiny import CONTEXT_TOKENS, write_tiny_model


def test_its_tokenizer_and_configuration_load(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    folder = write_tiny_model(tmp_path / "tiny")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    text = "Hello, math!\nTwo lines."
    tokens = tokenizer(text)["input_ids"]
    assert len(tokens) == len(text)
    assert tokenizer.decode(tokens) == text
    assert max(tokens) < config.vocab_size == len(tokenizer)
    assert config.max_position_embeddings == CONTEXT_TOKENS
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "user: Hi\nassistant: "

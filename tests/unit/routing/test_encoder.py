import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modem.errors import ConfigError
from modem.routing import encoder as encoder_module
from modem.routing.encoder import MAX_TOKENS, SentenceEncoder
from modem.routing.scores import MAX_CHARS_PER_TOKEN
from tests.unit.routing.minilm import minilm

TEXTS = ["The cat sits on the mat.", "A cat is on a rug.", "Integrate x squared.", "hi", "word " * 90]


def test_rows_are_unit_vectors_in_float32() -> None:
    vectors = minilm().encode(TEXTS)
    assert vectors.shape == (len(TEXTS), minilm().dim) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_like_sentences_are_closer_than_unlike_ones() -> None:
    cat, rug, integral, *_ = minilm().encode(TEXTS)
    assert cat @ rug > 0.6 > 0.3 > cat @ integral


def test_batches_and_padding_do_not_change_a_row() -> None:
    # Five texts in batches of four: sorted by length, two batches, results in the order given.
    together = minilm().encode(TEXTS)
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(row, minilm().encode([text])[0], atol=1e-5)


def test_no_texts_make_an_empty_array() -> None:
    assert minilm().encode([]).shape == (0, 384)


def test_progress_adds_up() -> None:
    seen: list[int] = []
    minilm().encode(TEXTS, seen.append)
    assert sorted(seen) == [1, 4]


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    start = "number theory " * 200  # 400 tokens
    one, other = minilm().encode([start + "about cats", start + "about taxes"])
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "text",
    ["", "   ", "\ud800 lone surrogate", "\x00", "z" * (3 * MAX_TOKENS * MAX_CHARS_PER_TOKEN), "数学 🎲"],
)
def test_odd_texts_have_a_finite_embedding(text: str) -> None:
    assert np.isfinite(minilm().encode([text])).all()


def test_a_folder_loads_like_the_package() -> None:
    folder = encoder_module._package_folder()
    found = SentenceEncoder(str(folder))
    assert found.name == "model"
    np.testing.assert_allclose(found.encode(["hi"]), minilm().encode(["hi"]), atol=1e-6)
    assert found.weights_sha256() == minilm().weights_sha256()


def test_the_weights_are_the_published_ones() -> None:
    assert minilm().weights_sha256() == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_a_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_PACKAGE_MODULE", "no_such_package_at_all")
    with pytest.raises(ConfigError, match=r"no-such-package-at-all.*pip install 'modem\[router\]'"):
        SentenceEncoder("package")


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "word", "a/b/c"])
def test_what_is_neither_folder_nor_hub_id_is_refused_without_asking_a_hub(path: str) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        SentenceEncoder(path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="transformers cannot load"):
        SentenceEncoder(str(tmp_path))


def test_a_folder_without_safetensors_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no single model\.safetensors"):
        encoder_module._weights_file(tmp_path)


def test_importing_routing_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, modem.routing.load, modem.routing.policy; "
        "print({'torch', 'transformers', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.routing.base import Embedder, Router
from modem.routing.compact import CompactRouter
from modem.routing.load import SHIPPED_ROUTER
from modem.types import RouterIdentity
from tests.builders import DOMAINS
from tests.compact import DIM, MAX_TOKENS, network, tokenizer, write_compact_router

TEXTS = [
    "prove the theorem",
    "what is pain",
    "python code bug in my loop " * 20,
    "",
    "history of music",
    "why is light a sum of energy?",
    "x",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_compact_router(tmp_path_factory.mktemp("compact"))


@pytest.fixture(scope="module")
def router(folder: Path) -> CompactRouter:
    return CompactRouter(folder)


def fresh(router: CompactRouter, text: str) -> dict[str, float]:
    """Score one text, and not from what is remembered."""
    router.score(["something else"])
    return dict(router.score([text])[0].scores)


def test_it_is_a_router_and_an_embedder(router: CompactRouter) -> None:
    as_router: Router = router
    as_embedder: Embedder = router
    assert as_router.identity == RouterIdentity("tiny", "1")
    assert as_router.domains == DOMAINS
    assert as_embedder.embed(["x"]).shape == (1, DIM)


def test_each_text_gets_its_scores_in_order(router: CompactRouter) -> None:
    found = router.score(TEXTS)
    assert len({scores.top()[0] for scores in found}) > 1, "the texts would not tell an order"
    for text, scores in zip(TEXTS, found, strict=True):
        assert set(scores.scores) == set(DOMAINS)
        assert sum(scores.scores.values()) == pytest.approx(1, abs=1e-9)
        assert fresh(router, text) == dict(scores.scores)


@given(st.lists(st.sampled_from(TEXTS) | st.text(max_size=80), min_size=1, max_size=8))
@settings(max_examples=30)
def test_company_changes_nothing_at_all(router: CompactRouter, texts: list[str]) -> None:
    together = router.score(texts)
    assert [dict(scores.scores) for scores in together] == [fresh(router, text) for text in texts]


def test_threads_change_nothing_at_all(router: CompactRouter, folder: Path) -> None:
    parallel = CompactRouter(folder, num_threads=3)
    assert parallel.score(TEXTS * 3) == router.score(TEXTS * 3)
    np.testing.assert_array_equal(parallel.embed(TEXTS), router.embed(TEXTS))


def test_in_one_pass_company_would_change_the_scores(router: CompactRouter) -> None:
    # Why each text has a pass of its own: int8 activations share a scale in a pass.
    def run(texts: list[str]) -> np.ndarray:
        tokens = np.array([router._tokenizer.encode(text).ids for text in texts])
        logits: np.ndarray = router._session.run(["logits"], {"input_ids": tokens})[0]
        return logits

    (alone,) = run(["what is pain"])
    among = run(["what is pain", "python code bug", "history of music"])[0]
    assert np.abs(alone - among).max() > 1e-3


def test_it_computes_what_the_network_computes(router: CompactRouter) -> None:
    from modem.training.trainer import predict

    expected = predict(network(len(DOMAINS)), tokenizer(), TEXTS, MAX_TOKENS)["embedding"]
    cosines = (router.embed(TEXTS) * expected).sum(axis=1)
    assert cosines.min() > 0.99


@pytest.mark.parametrize("shipped", [False, True])
def test_no_two_products_overflow_sixteen_bits(folder: Path, shipped: bool) -> None:
    """A CPU without VNNI adds two of them in 16 bits, and would compute other numbers than one with it."""
    import onnx

    graph = onnx.load((SHIPPED_ROUTER if shipped else folder) / "model.onnx").graph
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = [found[node.input[1]] for node in graph.node if node.op_type == "MatMulInteger"]
    assert weights
    assert all(matrix.dtype == np.int8 for matrix in weights)
    largest = max(int(np.abs(matrix.astype(np.int32)).max()) for matrix in weights)
    assert 2 * 255 * largest < 2**15


def test_embeddings_are_unit_vectors_in_float32(router: CompactRouter) -> None:
    found = router.embed(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_scores_and_embeddings_of_the_same_texts_share_a_pass(folder: Path) -> None:
    router = CompactRouter(folder)
    passes: list[str] = []
    forward = router._forward

    def noting(text: str) -> tuple[np.ndarray, np.ndarray]:
        passes.append(text)
        return forward(text)

    router._forward = noting  # type: ignore[method-assign]
    scores, vectors = router.score(["a", "b"]), router.embed(["a", "b"])
    assert passes == ["a", "b"]
    np.testing.assert_array_equal(router.embed(["b"])[0], vectors[1])
    assert router.score(["a", "b"]) == scores
    assert passes == ["a", "b", "b", "a", "b"], "only the latest texts are remembered"


def test_no_texts_no_scores(router: CompactRouter) -> None:
    assert router.score([]) == []
    assert router.embed([]).shape == (0, DIM)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_text_says_nothing(router: CompactRouter, text: str) -> None:
    assert list(router.score([text])[0].scores.values()) == pytest.approx([1 / len(DOMAINS)] * len(DOMAINS))


def test_what_lies_beyond_the_limit_is_not_read(router: CompactRouter) -> None:
    start = "theorem " * (MAX_TOKENS - 2)  # [CLS] and [SEP] count
    assert fresh(router, start + "drug") == fresh(router, start + "python")
    shorter = "theorem " * (MAX_TOKENS - 3)
    assert fresh(router, shorter + "drug") != fresh(router, shorter + "python")


@pytest.mark.parametrize("text", ["\ud800 lone", "\x00", "z" * 100_000, "数学 🎲", "a " * 50_000])
def test_odd_texts_have_finite_scores(router: CompactRouter, text: str) -> None:
    assert sum(router.score([text])[0].scores.values()) == pytest.approx(1)


def test_the_folder_s_temperature_is_applied(router: CompactRouter, tmp_path: Path) -> None:
    hot = CompactRouter(write_compact_router(tmp_path, temperature=2.0))
    plain = np.log(list(router.score(["history of music"])[0].scores.values()))
    halved = np.exp(plain / 2) / np.exp(plain / 2).sum()
    np.testing.assert_allclose(list(hot.score(["history of music"])[0].scores.values()), halved, atol=1e-6)


def test_the_background_comes_along(router: CompactRouter, tmp_path: Path) -> None:
    found = router.background()
    assert found is not None
    assert found.embeddings.shape[1] == DIM
    assert CompactRouter(write_compact_router(tmp_path, background=False)).background() is None


def test_a_model_of_other_domains_is_refused(tmp_path: Path) -> None:
    folder = write_compact_router(tmp_path)
    about = (folder / "router.json").read_text()
    (folder / "router.json").write_text(about.replace('"science", ', ""))
    with pytest.raises(ConfigError, match=r"logits \[5\].*not \[4\].*modem router train"):
        CompactRouter(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.onnx", b"", "is no ONNX model"),
        ("model.onnx", b"something else entirely", "is no ONNX model"),
        ("tokenizer.json", b"{}", "is no tokenizer"),
        ("tokenizer.json", b"\xff", "is no tokenizer"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    folder = write_compact_router(tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name} {message}.*modem router train"):
        CompactRouter(folder)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    # Ids beyond the model's table of embeddings.
    folder = write_compact_router(tmp_path)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [99_999]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="does not run on this folder's tokens"):
        CompactRouter(folder)


def edited(folder: Path, change: Callable[..., None]) -> Path:
    """Change the graph of a folder's model."""
    import onnx

    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    onnx.save(model, folder / "model.onnx")
    return folder


def rename_output(graph: object) -> None:
    for node in graph.node:  # type: ignore[attr-defined]
        node.output[:] = ["vector" if name == "embedding" else name for name in node.output]
        node.input[:] = ["vector" if name == "embedding" else name for name in node.input]
    next(one for one in graph.output if one.name == "embedding").name = "vector"  # type: ignore[attr-defined]


def rename_input(graph: object) -> None:
    for node in graph.node:  # type: ignore[attr-defined]
        node.input[:] = ["ids" if name == "input_ids" else name for name in node.input]
    next(one for one in graph.input if one.name == "input_ids").name = "ids"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("change", "word"), [(rename_output, "vector"), (rename_input, "ids")])
def test_a_model_of_another_form_is_refused(tmp_path: Path, change: Callable[..., None], word: str) -> None:
    with pytest.raises(ConfigError, match=rf"has the inputs .*'{word}'.* not \['input_ids'"):
        CompactRouter(edited(write_compact_router(tmp_path), change))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    from onnx import numpy_helper

    def spoil(graph: object) -> None:
        for tensor in graph.initializer:  # type: ignore[attr-defined]
            if tensor.name.endswith("LayerNorm.weight"):
                values = np.full_like(numpy_helper.to_array(tensor), np.nan)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    with pytest.raises(ConfigError, match="not finite"):
        CompactRouter(edited(write_compact_router(tmp_path), spoil))


def test_serving_needs_neither_torch_nor_transformers(folder: Path) -> None:
    code = (
        "import sys; from modem.config import RouterConfig; from modem.routing.load import load_router;"
        f"load_router(RouterConfig(kind='compact', model={str(folder)!r})).score(['what is pain']);"
        "print({'torch', 'transformers', 'onnx', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

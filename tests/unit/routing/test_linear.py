import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open
from safetensors.numpy import save_file

from modem.errors import ConfigError
from modem.routing.base import Router
from modem.routing.linear import LinearHead, LinearRouter
from modem.types import RouterIdentity
from tests.unit.routing.minilm import head_for, make_head, minilm

EXAMPLES = {
    "math": "solve the equation x + 2 = 5",
    "coding": "fix the bug in my Python function",
    "other": "tell me about the history of France",
}


@pytest.fixture(scope="module")
def router() -> LinearRouter:
    return LinearRouter(minilm(), head_for(EXAMPLES))


def test_it_is_a_router(router: LinearRouter) -> None:
    as_protocol: Router = router
    assert as_protocol.identity == RouterIdentity("test-head", "1")
    assert as_protocol.domains == ("math", "coding", "other")


def test_each_text_gets_its_domain_in_order(router: LinearRouter) -> None:
    texts = ["my Java method throws an exception", "find x if 3x = 12", "who was king of France?"]
    assert [scores.top()[0] for scores in router.score(texts)] == ["coding", "math", "other"]


def test_probabilities_sum_to_one(router: LinearRouter) -> None:
    for scores in router.score(["2 + 2", "", "x" * 20_000]):
        assert set(scores.scores) == set(EXAMPLES)
        assert sum(scores.scores.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_text_says_nothing(router: LinearRouter, text: str) -> None:
    assert list(router.score([text])[0].scores.values()) == pytest.approx([1 / 3] * 3)


def test_a_blank_text_leaves_its_neighbours_alone(router: LinearRouter) -> None:
    alone = router.score(["find x if 3x = 12"])[0].scores
    among = router.score(["", "find x if 3x = 12", " "])[1].scores
    assert among == pytest.approx(alone, abs=1e-5)


def test_no_texts_no_scores(router: LinearRouter) -> None:
    assert router.score([]) == []


def test_a_head_of_another_encoder_is_refused() -> None:
    foreign = make_head(("a", "b"), np.zeros((2, 384)), sha256="0" * 64)
    with pytest.raises(ConfigError, match="was fitted on the encoder"):
        LinearRouter(minilm(), foreign)


def test_a_head_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="was fitted on the encoder"):
        LinearRouter(minilm(), make_head(("a", "b"), np.zeros((2, 8))))


def test_saving_and_loading_changes_nothing(tmp_path: Path) -> None:
    head = head_for(EXAMPLES)
    file = tmp_path / "deep" / "head.safetensors"
    head.save(file)
    loaded = LinearHead.load(file)
    np.testing.assert_array_equal(loaded.weights, head.weights)
    np.testing.assert_array_equal(loaded.bias, head.bias)
    for name in ("name", "version", "domains", "encoder", "encoder_sha256", "trained_on"):
        assert getattr(loaded, name) == getattr(head, name)


def test_the_order_of_the_numbers_in_memory_does_not_matter(tmp_path: Path) -> None:
    weights = np.arange(8, dtype=np.float32).reshape(2, 4)
    make_head(("a", "b"), np.asfortranarray(weights)).save(tmp_path / "head.safetensors")
    np.testing.assert_array_equal(LinearHead.load(tmp_path / "head.safetensors").weights, weights)


def test_a_head_cannot_be_saved_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        head_for(EXAMPLES).save(tmp_path / "file" / "head.safetensors")


Tensors = dict[str, np.ndarray]
Metadata = dict[str, str]


def broken(tmp_path: Path, change: Callable[[Tensors, Metadata], object]) -> Path:
    """A head's file after a change to its tensors or metadata."""
    file = tmp_path / "head.safetensors"
    make_head(("a", "b"), np.ones((2, 4))).save(file)
    with safe_open(file, framework="numpy") as opened:
        metadata = dict(opened.metadata())
        tensors = {name: opened.get_tensor(name) for name in ("weights", "bias")}
    change(tensors, metadata)
    save_file(tensors, file, metadata)
    return file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, m: m.pop("domains"), "lacks 'domains'"),
        (lambda _, m: m.pop("encoder_sha256"), "lacks 'encoder_sha256'"),
        (lambda t, _: t.pop("bias"), "lacks 'bias'"),
        (lambda _, m: m.pop("format"), "its format is None"),
        (lambda _, m: m.update(domains="not json"), "not usable"),
        (lambda _, m: m.update(domains='{"a": 1}'), "list of names"),
        (lambda _, m: m.update(domains=json.dumps(["a", "b", "c"])), "3 domains need weights"),
        (lambda _, m: m.update(domains=json.dumps(["a", "a"])), "once each"),
        (lambda t, _: t.update(bias=np.zeros(3, np.float32)), "2 domains need weights"),
        (lambda t, _: t.update(weights=np.zeros(8, np.float32)), "2 domains need weights"),
        (lambda t, _: t.update(weights=np.full((2, 4), np.nan, np.float32)), "not finite"),
    ],
)
def test_a_file_that_does_not_fit_says_what_and_how_to_mend_it(
    tmp_path: Path, change: Callable[[Tensors, Metadata], object], message: str
) -> None:
    file = broken(tmp_path, change)
    with pytest.raises(ConfigError, match=message) as caught:
        LinearHead.load(file)
    assert str(file) in str(caught.value)
    assert "modem router train" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x80\x04pickle"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "head.safetensors"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="modem router train"):
        LinearHead.load(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        LinearHead.load(tmp_path / "none.safetensors")


@given(
    arrays.arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)),
    arrays.arrays(np.float32, (2, 4), elements=st.floats(-1, 1, width=32)),
)
def test_softmax_is_a_distribution_for_any_finite_head(weights: np.ndarray, embeddings: np.ndarray) -> None:
    found = make_head(("a", "b", "c"), weights).probabilities(embeddings)
    assert found.dtype == np.float64
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from modem.errors import ConfigError
from modem.routing.added import with_added
from modem.routing.base import Embedder, Router
from modem.routing.encoder_router import MAX_TOKENS, EncoderRouter
from modem.types import AddedDomain, RouterIdentity
from tests.builders import DOMAINS
from tests.checkpoints import bert, deberta, write_checkpoint

TEXTS = ["prove the theorem", "what is pain", "python code bug in my loop " * 20, "", "history of music", "x"]
TRAIN = r"modem router train --config training/deberta-v3-large\.yaml"


@pytest.fixture(scope="module", params=[bert, deberta])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "mine", request.param)


@pytest.fixture(scope="module")
def router(checkpoint: Path) -> EncoderRouter:
    return EncoderRouter(checkpoint)


def probabilities(router: Router, texts: Sequence[str]) -> np.ndarray:
    return np.array([list(scores.scores.values()) for scores in router.score(texts)])


def test_it_is_a_router_and_an_embedder(router: EncoderRouter) -> None:
    as_router: Router = router
    as_embedder: Embedder = router
    assert as_router.domains == DOMAINS
    assert as_router.identity.name == "mine"
    assert len(as_router.identity.version) == 12
    assert as_embedder.embed(["x"]).dtype == np.float32


def test_each_text_gets_its_scores_in_order(router: EncoderRouter) -> None:
    found = probabilities(router, TEXTS)
    assert found.shape == (len(TEXTS), len(DOMAINS))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert len({tuple(row.round(4)) for row in found}) == len(TEXTS), "they would not tell an order"
    for text, row in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(probabilities(router, [text])[0], row, atol=1e-5)


@pytest.mark.parametrize("max_batch_tokens", [1, 40, 100, 100_000])
def test_the_budget_changes_nothing(checkpoint: Path, router: EncoderRouter, max_batch_tokens: int) -> None:
    other = EncoderRouter(checkpoint, max_batch_tokens)
    np.testing.assert_allclose(probabilities(other, TEXTS), probabilities(router, TEXTS), atol=1e-5)
    np.testing.assert_allclose(other.embed(TEXTS), router.embed(TEXTS), atol=1e-5)


def test_the_budget_is_kept(checkpoint: Path) -> None:
    router = EncoderRouter(checkpoint, 60)
    sizes: list[tuple[int, int]] = []
    forward = router._model.forward

    def noting(*args: Any, **inputs: Any) -> Any:
        sizes.append(tuple(inputs["input_ids"].shape))
        return forward(*args, **inputs)

    router._model.forward = noting
    router.score(TEXTS)
    assert sum(rows for rows, _ in sizes) == len(TEXTS)
    assert max(rows for rows, _ in sizes) > 1
    assert all(rows == 1 or rows * length <= 60 for rows, length in sizes)


def test_embeddings_are_unit_vectors(router: EncoderRouter) -> None:
    np.testing.assert_allclose(np.linalg.norm(router.embed(TEXTS), axis=1), 1, atol=1e-5)


def test_the_embedding_is_the_mean_of_the_last_states(router: EncoderRouter) -> None:
    import torch

    inputs = router._tokenizer(["what is pain"], return_tensors="pt")
    with torch.inference_mode():
        mean = router._model(**inputs, output_hidden_states=True).hidden_states[-1][0].mean(dim=0)
    expected = (mean / mean.norm()).numpy()
    among = router.embed(["python code bug in my loop", "what is pain"])[1]  # padded
    np.testing.assert_allclose(among, expected, atol=1e-5)


def test_scores_and_embeddings_of_the_same_texts_share_a_pass(checkpoint: Path) -> None:
    router = EncoderRouter(checkpoint)
    router.score(TEXTS)
    router._model = None  # nothing is left to run
    assert router.embed(TEXTS).shape[0] == len(TEXTS)


def test_domains_can_be_added_where_a_background_lies_beside_it(own: Path) -> None:
    assert EncoderRouter(own).background() is None
    rows = EncoderRouter(own).embed([f"{word} {other}" for word in TEXTS for other in TEXTS])
    labels = np.arange(len(rows)) % len(DOMAINS)
    save_file({"embeddings": rows, "labels": labels}, own / "background.safetensors")
    law = AddedDomain("law", "Prompts about law.", ("why is the law", "law of the king"))
    (found,) = with_added(EncoderRouter(own), [law]).score(["a law"])
    assert set(found.scores) == {*DOMAINS, "law"}


def test_no_texts_no_scores(router: EncoderRouter) -> None:
    assert router.score([]) == []
    assert router.embed([]).shape == (0, router._model.config.hidden_size)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_text_says_nothing(router: EncoderRouter, text: str) -> None:
    np.testing.assert_allclose(probabilities(router, [text]), 1 / len(DOMAINS))


@pytest.mark.parametrize("text", ["\ud800 lone", "\x00", "z" * 100_000, "a " * 50_000])
def test_odd_texts_have_finite_scores(router: EncoderRouter, text: str) -> None:
    np.testing.assert_allclose(probabilities(router, [text]).sum(), 1)


def test_a_text_is_read_as_far_as_the_encoder_has_positions(router: EncoderRouter) -> None:
    assert router._model.config.max_position_embeddings == 64 < MAX_TOKENS
    start = "theorem " * 62  # [CLS] and [SEP] count
    one, other = (probabilities(router, [start + word]) for word in ("drug", "python"))
    np.testing.assert_array_equal(one, other)


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint, to be changed."""
    import shutil

    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


def say(folder: Path, **about: Any) -> Path:
    """Write ``router.json`` beside a checkpoint."""
    (folder / "router.json").write_text(json.dumps(about))
    return folder


def test_a_file_beside_it_says_who_it_is(own: Path) -> None:
    found = EncoderRouter(say(own, name="deberta", version="7", trained_on="2026-01-02", format="any"))
    assert found.identity == RouterIdentity("deberta", "7")


def test_its_temperature_is_applied(own: Path, router: EncoderRouter) -> None:
    plain = np.log(probabilities(router, ["history of music"]))
    halved = np.exp(plain / 2) / np.exp(plain / 2).sum()
    hot = EncoderRouter(say(own, temperature=2.0))
    np.testing.assert_allclose(probabilities(hot, ["history of music"]), halved, atol=1e-5)


def test_its_limit_is_kept(own: Path) -> None:
    router = EncoderRouter(say(own, max_tokens=4))
    drug, king, other = (
        probabilities(router, [text]) for text in ("the law drug", "the law king", "the king")
    )
    np.testing.assert_array_equal(drug, king)
    assert np.abs(drug - other).max() > 1e-6


@pytest.mark.parametrize("content", ["", "[]", '{"temperature": 0}', '{"max_tokens": 1}', '{"name": ""}'])
def test_a_wrong_file_beside_it_is_refused(own: Path, content: str) -> None:
    (own / "router.json").write_text(content)
    with pytest.raises(ConfigError, match=r"router\.json is not usable"):
        EncoderRouter(own)


def test_other_weights_are_another_version(own: Path, router: EncoderRouter) -> None:
    tensors = load_file(own / "model.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 1}, own / "model.safetensors", {"format": "pt"})
    assert EncoderRouter(own).identity.version != router.identity.version


def test_a_missing_folder_says_how_to_train_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"is no folder with a checkpoint; train one with: {TRAIN}"):
        EncoderRouter(tmp_path / "none")


def drop_head(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def pickle(folder: Path) -> None:
    import torch

    tensors = load_file(folder / "model.safetensors")
    torch.save({name: torch.from_numpy(of) for name, of in tensors.items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def relabel(*labels: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["id2label"] = {str(index): label for index, label in enumerate(labels)}
        config["label2id"] = {label: index for index, label in enumerate(labels)}
        (folder / "config.json").write_text(json.dumps(config))

    return change


def remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "my-own"
    config["auto_map"] = {"AutoConfig": "code.Mine", "AutoModelForSequenceClassification": "code.Mine"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\nclass Mine: pass\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_head, "is not trained: it lacks classifier"),
        (pickle, "transformers cannot load"),
        (remote_code, "transformers cannot load"),
        (relabel(*(f"LABEL_{i}" for i in range(5))), "not domains; write them as id2label"),
        (relabel("a", "b", "a", "c", "d"), "not domains"),
        (relabel("a", "b", "c"), "transformers cannot load"),
        (lambda folder: (folder / "model.safetensors").unlink(), "transformers cannot load"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "transformers cannot load"),
        (lambda folder: (folder / "config.json").write_text("{"), "transformers cannot load"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "transformers cannot load"),
    ],
)
def test_what_cannot_be_trusted_or_used_is_refused(
    own: Path, change: Callable[[Path], None], message: str
) -> None:
    change(own)
    with pytest.raises(ConfigError, match=message):
        EncoderRouter(own)
    assert not (own / "ran").exists(), "code of the checkpoint has run"

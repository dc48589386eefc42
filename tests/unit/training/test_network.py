from pathlib import Path

import numpy as np
import pytest

from modem.routing.encoder import SentenceEncoder
from modem.training.loading import Loaded, load
from modem.training.optimizer import depth, make_optimizer
from tests.unit.training.tiny import recipe, tiny_bert

TEXTS = ["solve 3x + 2 = 12 for the cats", "tell me a story", "what is 4 percent of 80 users? " * 9]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def loaded(base: Path) -> Loaded:
    return load(recipe(base), ("coding", "math", "other"))


def test_its_embedding_is_the_frozen_encoders(loaded: Loaded, base: Path) -> None:
    from modem.training.trainer import predict

    found = predict(loaded.network, loaded.tokenizer, TEXTS[:2], 32)["embedding"]
    np.testing.assert_allclose(found, SentenceEncoder(str(base)).encode(TEXTS[:2]), atol=1e-6)


def test_a_regression_on_embeddings_is_its_head(loaded: Loaded) -> None:
    from modem.training.trainer import predict

    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(3, 16)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    loaded.network.set_head(weights, bias)
    found = predict(loaded.network, loaded.tokenizer, TEXTS, 32)
    np.testing.assert_allclose(found["logits"], found["embedding"] @ weights.T + bias, atol=1e-5)


def test_texts_in_a_batch_do_not_change_each_other(loaded: Loaded) -> None:
    from modem.training.trainer import predict

    together = predict(loaded.network, loaded.tokenizer, TEXTS, 32)["logits"]
    alone = [predict(loaded.network, loaded.tokenizer, [text], 32)["logits"][0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_seed_makes_the_head(base: Path) -> None:
    one, two, other = (load(recipe(base, seed=seed), ("a", "b")).network.head.weight for seed in (1, 1, 2))
    assert one.equal(two)
    assert not one.equal(other)


def test_between_two_networks_lies_a_line(loaded: Loaded, base: Path) -> None:
    from modem.training.network import interpolate, snapshot

    before = snapshot(loaded.network)
    after = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in before.items()}
    for alpha in (0.0, 0.25, 1.0):
        mixed = interpolate(before, after, alpha)
        assert mixed.keys() == before.keys()
        for name, tensor in mixed.items():
            np.testing.assert_allclose(
                tensor, before[name] + (alpha if tensor.is_floating_point() else 0), atol=1e-6
            )


def test_a_snapshot_does_not_change_with_the_network(loaded: Loaded) -> None:
    from modem.training.network import snapshot

    before = snapshot(loaded.network)
    loaded.network.set_head(np.zeros((3, 16), np.float32), np.zeros(3, np.float32))
    assert before["head.weight"].abs().sum() > 0


def test_dropout_is_set_where_the_recipe_says_so(base: Path) -> None:
    config = load(recipe(base, dropout=0.3), ("a", "b")).network.encoder.config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.3, 0.3)
    assert load(recipe(base), ("a", "b")).network.encoder.config.hidden_dropout_prob == 0.1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder.embeddings.word_embeddings.weight", 0),
        ("encoder.encoder.layer.0.attention.self.query.weight", 1),
        ("deberta.encoder.layer.23.output.dense.bias", 24),
        ("layers.5.mlp.weight", 6),
        ("head.weight", None),
        ("pooler.dense.weight", None),
    ],
)
def test_a_parameters_depth_is_in_its_name(name: str, expected: int | None) -> None:
    assert depth(name) == expected


def test_lower_layers_learn_slower_and_vectors_do_not_decay(base: Path) -> None:
    settings = recipe(base, learning_rate=1.0, layer_decay=0.5, weight_decay=0.1)
    network = load(settings, ("a", "b")).network
    rates = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in make_optimizer(network, settings).param_groups
        for parameter in group["params"]
    }
    of = {name: rates[id(parameter)] for name, parameter in network.named_parameters()}
    assert of["head.weight"] == (1.0, 0.1)
    assert of["head.bias"] == (1.0, 0.0)
    assert of["encoder.encoder.layer.1.output.dense.weight"] == (1.0, 0.1)
    assert of["encoder.encoder.layer.0.output.dense.weight"] == (0.5, 0.1)
    assert of["encoder.encoder.layer.0.output.LayerNorm.weight"] == (0.5, 0.0)
    assert of["encoder.embeddings.word_embeddings.weight"] == (0.25, 0.1)
    assert len(rates) == len(list(network.parameters()))


def test_frozen_layers_do_not_learn(base: Path) -> None:
    settings = recipe(base, frozen_layers=1, freeze_embeddings=True)
    network = load(settings, ("a", "b")).network
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert {depth(name) for name in learning} == {2, None}
    groups = make_optimizer(network, settings).param_groups
    assert sum(len(group["params"]) for group in groups) == len(learning)

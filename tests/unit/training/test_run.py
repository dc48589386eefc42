"""Real trainings of a tiny encoder: probe, fine-tuning, resuming, export, figures."""

import datetime
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modem.config import RouterConfig
from modem.errors import ConfigError
from modem.routing.calibration import softmax
from modem.routing.load import load_router
from modem.routing.neighbours import read_points
from modem.training import data
from modem.training.corpus import Corpus
from modem.training.data import Prompt
from modem.training.dedup import deduplicate
from modem.training.figures import metrics
from modem.training.loading import load
from modem.training.plots import confusion, draw, risk_coverage
from modem.training.recipe import Recipe
from modem.training.run import Trained, fine_tune_soup, prior_shift, train
from modem.training.sources import Sources
from tests.unit.training.prompts import DOMAINS, SOURCES, rows
from tests.unit.training.tiny import no_bar, prompts, recipe, tiny_bert

TODAY = datetime.date(2026, 1, 2)


@dataclass(frozen=True)
class Run:
    out: Path
    trained: Trained
    corpus: Corpus


def small_corpus() -> Corpus:
    import yaml

    training, held_out = data.split(prompts())
    exam = [Prompt(text, domain, "exam", "e:1") for text, domain, _ in rows(4, first=30)]
    return Corpus(
        Sources.model_validate(yaml.safe_load(SOURCES)),
        training,
        held_out,
        {"exam": exam},
        deduplicate([*training, *held_out, training[0]], {}),
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out, corpus = tmp_path_factory.mktemp("run") / "tiny", small_corpus()
    settings = recipe(base, linear_probe=True, wise_ft_alpha=(0.0, 0.5, 1.0), label_smoothing=0.1)
    return Run(out, train(settings, corpus, out, False, TODAY, no_bar), corpus)


def test_the_folder_holds_what_serving_reads(run: Run) -> None:
    assert {file.name for file in run.out.iterdir()} == {
        "model.onnx",
        "tokenizer.json",
        "router.json",
        "background.safetensors",
        "dedup.json",
    }
    assert json.loads((run.out / "router.json").read_text()) == {
        "format": "modem-router-1",
        "name": "tiny",
        "version": run.trained.version,
        "domains": list(DOMAINS),
        "temperature": 1.0,
        "max_tokens": 32,
        "trained_on": "2026-01-02",
        "base": run.trained.base,
        "pad_token_id": 0,
    }
    assert run.trained.version.startswith("2026.01.02-")
    assert json.loads((run.out / "dedup.json").read_text())["num_dropped"] == 1


def test_serving_takes_the_folder(run: Run) -> None:
    router = load_router(RouterConfig(kind="compact", model=str(run.out)))
    assert (router.identity.name, router.identity.version) == ("tiny", run.trained.version)
    exam = run.corpus.validation["exam"]
    scores = router.score([prompt.routed() for prompt in exam])
    found = [[one.scores[domain] for domain in DOMAINS] for one in scores]
    np.testing.assert_allclose(found, run.trained.measured["exam"].probabilities, atol=1e-5)


def test_the_file_is_run_without_torch_and_says_what_was_measured(run: Run) -> None:
    """As serving does it: tokenizers, ONNX Runtime and arithmetic."""
    import onnxruntime
    from tokenizers import Tokenizer

    session = onnxruntime.InferenceSession(run.out / "model.onnx")
    tokenizer = Tokenizer.from_file(str(run.out / "tokenizer.json"))
    shapes = {given.name: given.shape for given in session.get_inputs()}
    assert shapes == {"input_ids": ["n", "t"]}
    exam = run.corpus.validation["exam"]
    for prompt, expected in zip(exam, run.trained.measured["exam"].probabilities, strict=True):
        ids = np.array([tokenizer.encode(prompt.routed()).ids], dtype=np.int64)
        logits, embedding = session.run(["logits", "embedding"], {"input_ids": ids})
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose(softmax(logits)[0], expected, atol=1e-5)


def test_mixed_precision_leaves_a_network_of_single_precision(base: Path, tmp_path: Path) -> None:
    """The Trainer wraps the network's forward for it, and an export would trace the wrapper."""
    corpus = small_corpus()
    trained = train(recipe(base, epochs=1, bf16=True), corpus, tmp_path, False, TODAY, no_bar)
    assert trained.max_difference < 0.1
    assert trained.measured["held_out"].figures.num_prompts == len(corpus.held_out)


def test_the_name_of_the_packages_own_router_is_a_folder_like_any(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained = train(recipe(base, epochs=1), small_corpus(), Path("shipped"), False, TODAY, no_bar)
    about = json.loads((tmp_path / "shipped" / "router.json").read_text())
    assert about["version"] == trained.version
    assert trained.max_difference < 0.1


class TestNeighbours:
    @pytest.fixture(scope="class")
    def voted(self, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
        corpus = small_corpus()
        corpus = replace(corpus, voting=corpus.training)
        out = tmp_path_factory.mktemp("voted")
        settings = recipe(base, epochs=1, neighbours={"dim": 6}, prior={DOMAINS[0]: 0.5})
        return Run(out, train(settings, corpus, out, False, TODAY, no_bar), corpus)

    def test_how_they_vote_is_written_and_served(self, voted: Run) -> None:
        chosen = voted.trained.neighbours
        assert chosen is not None
        assert chosen.log_loss <= chosen.without
        about = json.loads((voted.out / "router.json").read_text())
        assert about["neighbours"] == chosen.config.model_dump()
        assert about["temperature"] == chosen.temperature
        router = load_router(RouterConfig(kind="compact", model=str(voted.out)))
        exam = voted.corpus.validation["exam"]
        found = [[one.scores[d] for d in DOMAINS] for one in router.score([p.routed() for p in exam])]
        np.testing.assert_allclose(found, voted.trained.measured["exam"].probabilities, atol=1e-6)

    def test_who_votes_was_learnt_and_not_held_out(self, voted: Run) -> None:
        found = read_points(voted.out, 16, len(DOMAINS), "")
        assert found.points.shape == (len(voted.corpus.training), 6)
        assert np.bincount(found.labels).tolist() == [
            sum(prompt.domain == domain for prompt in voted.corpus.training) for domain in DOMAINS
        ]
        np.testing.assert_allclose(found.bias, prior_shift({DOMAINS[0]: 0.5}, DOMAINS), rtol=1e-6)

    def test_metrics_tell_of_them(self, voted: Run) -> None:
        found = json.loads(json.dumps(metrics(voted.trained, voted.corpus, "c")))["neighbours"]
        assert found.keys() == {
            "num",
            "temperature",
            "share",
            "final_temperature",
            "log_loss",
            "log_loss_of_the_head",
        }


def test_the_export_changes_little(run: Run) -> None:
    assert 0 < run.trained.max_difference < 0.1


def test_without_quantising_the_export_is_exact(base: Path, tmp_path: Path) -> None:
    import onnxruntime

    from modem.training.onnx_file import quiet, trace
    from modem.training.trainer import predict

    loaded = load(recipe(base), DOMAINS)
    with quiet():
        trace(loaded.network, loaded.tokenizer, tmp_path / "full.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "full.onnx")
    for text, _, _ in rows(5):
        given = loaded.tokenizer(text, return_tensors="np")
        logits, embedding = session.run(["logits", "embedding"], {"input_ids": given["input_ids"]})
        expected = predict(loaded.network, loaded.tokenizer, [text], 32)
        np.testing.assert_allclose(logits, expected["logits"], atol=1e-5)
        np.testing.assert_allclose(embedding, expected["embedding"], atol=1e-5)


def test_it_learns_the_domains(run: Run) -> None:
    assert run.trained.measured["held_out"].figures.accuracy > 0.8


def test_the_mixture_with_the_least_loss_is_taken(run: Run) -> None:
    found = run.trained.candidates
    assert {candidate.alpha for candidate in found} == {0.0, 0.5, 1.0}
    assert [candidate.log_loss for candidate in found] == sorted(candidate.log_loss for candidate in found)
    assert set(found[0].figures) == {"held_out", "exam"}


def test_with_alpha_0_the_probe_comes_back(run: Run) -> None:
    assert run.trained.probe is not None
    (unmoved,) = (candidate for candidate in run.trained.candidates if candidate.alpha == 0)
    assert unmoved.log_loss == pytest.approx(run.trained.probe.log_loss, rel=1e-4)


def test_the_background_is_balanced_and_of_unit_length(run: Run) -> None:
    from safetensors.numpy import load_file

    found = load_file(run.out / "background.safetensors")
    embeddings, labels = found["embeddings"], found["labels"]
    assert (str(embeddings.dtype), str(labels.dtype)) == ("float16", "int64")
    assert embeddings.shape == (len(run.corpus.training), 16)
    assert set(labels.tolist()) == {0, 1, 2}
    np.testing.assert_allclose(np.linalg.norm(embeddings.astype(np.float32), axis=1), 1, atol=1e-2)


def test_metrics_tell_figures_settings_and_data(run: Run) -> None:
    found = json.loads(json.dumps(metrics(run.trained, run.corpus, "modem router train")))
    assert found["router"] == {"name": "tiny", "version": run.trained.version, "base": run.trained.base}
    for figures in found["sets"].values():
        assert {"accuracy", "macro", "log_loss", "ece", "domains"} <= figures.keys()
    assert found["wise_ft"][0]["sets"]["exam"].keys() == {
        "num_prompts",
        "accuracy",
        "macro",
        "log_loss",
        "ece",
    }
    assert found["export"]["max_abs_probability_difference"] == run.trained.max_difference
    assert found["export"]["weights_bytes"] == (run.out / "model.onnx").stat().st_size
    assert sum(row["training"] for row in found["data"]["sources"]) == len(run.corpus.training)
    assert found["data"]["sources"][0]["licence"] == "MIT"
    assert found["data"]["not_used"] == ["closed"]
    assert found["recipe"]["learning_rate"] == 0.01


def test_plots_are_drawn_for_each_set(run: Run, tmp_path: Path) -> None:
    draw(run.trained, tmp_path)
    kinds = ("confusion", "reliability", "risk-coverage")
    assert {file.name for file in tmp_path.iterdir()} == {
        f"{name}-{kind}.png" for name in ("held_out", "exam") for kind in kinds
    }
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())


def test_the_confusion_matrix_counts_prompts(run: Run) -> None:
    measured = run.trained.measured["exam"]
    found = confusion(measured, run.trained.domains)
    assert found.sum(axis=1).tolist() == [4, 4, 4]
    assert np.trace(found) / found.sum() == pytest.approx(measured.figures.accuracy)


def test_the_more_is_answered_the_nearer_risk_comes_to_the_error_rate() -> None:
    coverage, risk = risk_coverage(np.array([0.5, 0.9, 0.7, 0.6]), np.array([False, True, True, False]))
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 0.5])


def test_an_encoder_becomes_a_hugging_face_checkpoint(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    settings = recipe(
        base, kind="encoder", epochs=1, gradient_accumulation=2, batch_size=4, gradient_checkpointing=True
    )
    corpus = small_corpus()
    trained = train(settings, corpus, tmp_path, False, TODAY, no_bar)
    assert trained.candidates == ()
    assert trained.max_difference < 1e-5
    assert not (tmp_path / "model.onnx").exists()
    about = json.loads((tmp_path / "router.json").read_text())
    assert (about["name"], about["max_tokens"]) == ("tiny", 32)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert model.config.id2label == dict(enumerate(DOMAINS))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    prompt = corpus.held_out[0]
    logits = model(**tokenizer(prompt.routed(), return_tensors="pt")).logits.detach().numpy()
    np.testing.assert_allclose(softmax(logits)[0], trained.measured["held_out"].probabilities[0], atol=1e-5)


def test_what_was_learnt_before_an_interruption_is_not_lost(base: Path, tmp_path: Path) -> None:
    """Stopped in its third epoch and resumed within its second, a training ends where it would have."""
    from modem.training.trainer import Prompts, fine_tune

    settings = recipe(base, epochs=3, batch_size=10, checkpoint_steps=4)
    found = prompts(10)

    def say(index: int, rng: random.Random) -> str:
        return f"{found[index].text} {rng.randrange(50)}"

    class Interrupted(Prompts):
        def start(self, epoch: int) -> None:
            if epoch == 2:
                raise KeyboardInterrupt
            super().start(epoch)

    class WrongAtFirst(Prompts):
        """Would teach something else if the first epoch were learnt again."""

        def __getitem__(self, index: int) -> dict[str, Any]:
            item = super().__getitem__(index)
            return {**item, "labels": (item["labels"] + 1) % 3} if self._epoch == 0 else item

    def learn(kind: type[Prompts], folder: Path) -> Any:
        loaded = load(settings, DOMAINS)
        labels = [DOMAINS.index(prompt.domain) for prompt in found]
        texts = kind(say, labels, loaded.tokenizer, settings.max_tokens, settings.seed)
        fine_tune(loaded, settings, texts, None, folder)
        return loaded.network.state_dict()

    whole = learn(Prompts, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(Interrupted, tmp_path / "parts")
    assert [file.name for file in (tmp_path / "parts").iterdir()] == ["checkpoint-4"]
    resumed = learn(WrongAtFirst, tmp_path / "parts")
    wrong = learn(WrongAtFirst, tmp_path / "wrong")
    np.testing.assert_allclose(resumed["head.weight"], whole["head.weight"], atol=1e-5)
    assert (wrong["head.weight"] - whole["head.weight"]).abs().max() > 1e-3
    for name, tensor in whole.items():
        np.testing.assert_allclose(resumed[name], tensor, atol=1e-5, err_msg=name)


def weights_after(settings: Recipe, corpus: Corpus, folder: Path) -> Any:
    loaded = load(settings.model_copy(update={"seed": 0}), DOMAINS)  # the same start, whatever the seed
    fine_tune_soup(settings, corpus, loaded, folder)
    return loaded.network.state_dict()


def test_a_soup_is_the_mean_of_networks_that_each_learn_their_draw(base: Path, tmp_path: Path) -> None:
    corpus = small_corpus()
    draws = [list(corpus.training), list(corpus.training)[::2]]
    both = replace(corpus, training=draws[0], further=draws[1:])
    settings = recipe(base, epochs=2, linear_probe=True)
    found = weights_after(settings.model_copy(update={"soup": 2}), both, tmp_path / "soup")
    alone = [
        weights_after(
            settings.model_copy(update={"seed": settings.seed + number}),
            replace(corpus, training=draw),
            tmp_path / f"{number}",
        )
        for number, draw in enumerate(draws)
    ]
    assert (alone[0]["head.weight"] - alone[1]["head.weight"]).abs().max() > 1e-3
    for name, tensor in found.items():
        np.testing.assert_allclose(tensor, (alone[0][name] + alone[1][name]) / 2, atol=1e-5, err_msg=name)


def test_a_soup_is_resumed_with_the_network_it_was_at(base: Path, tmp_path: Path) -> None:
    corpus = small_corpus()
    corpus = replace(corpus, further=[corpus.training])
    settings = recipe(base, epochs=1, linear_probe=True, soup=2)
    whole = weights_after(settings, corpus, tmp_path / "whole")
    weights_after(settings, replace(corpus, further=()), tmp_path / "parts")  # the first network alone
    stamp = next((tmp_path / "parts" / "0").glob("checkpoint-*")).stat().st_mtime_ns
    resumed = weights_after(settings, corpus, tmp_path / "parts")
    assert next((tmp_path / "parts" / "0").glob("checkpoint-*")).stat().st_mtime_ns == stamp
    for name, tensor in whole.items():
        np.testing.assert_allclose(resumed[name], tensor, atol=1e-5, err_msg=name)


def test_a_training_that_broke_later_is_resumed_by_the_same_command(base: Path, tmp_path: Path) -> None:
    settings, corpus = recipe(base, epochs=1), small_corpus()

    @contextmanager
    def breaks(what: str, total: int) -> Iterator[Any]:
        if what == "measuring":
            raise KeyboardInterrupt
        yield lambda number: None

    with pytest.raises(KeyboardInterrupt):
        train(settings, corpus, tmp_path, False, TODAY, breaks)
    with pytest.raises(ConfigError, match="--resume"):
        train(settings, corpus, tmp_path, False, TODAY, no_bar)
    (tmp_path / "background.safetensors").write_bytes(b"of an earlier router")
    train(settings, corpus, tmp_path, True, TODAY, no_bar)
    assert not (tmp_path / "checkpoints").exists()


def test_a_base_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        load(recipe(tmp_path / "none"), DOMAINS)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="base: transformers cannot load"):
        load(recipe(tmp_path), DOMAINS)


class TestPrior:
    DOMAINS = ("coding", "health", "math", "other", "science")

    def test_without_one_nothing_moves(self) -> None:
        np.testing.assert_array_equal(prior_shift({}, self.DOMAINS), np.zeros(5, np.float32))

    def test_a_text_that_says_nothing_gets_the_prior_itself(self) -> None:
        found = softmax(prior_shift({"other": 0.4}, self.DOMAINS)[None].astype(np.float64))
        np.testing.assert_allclose(found, [[0.15, 0.15, 0.15, 0.4, 0.15]], atol=1e-6)

    def test_a_domain_that_the_data_has_not_is_named(self) -> None:
        with pytest.raises(ConfigError, match="prior names 'law'; the data has coding, health"):
            prior_shift({"law": 0.4}, self.DOMAINS)

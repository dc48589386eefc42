"""What all fitted strategies have in common, and what each does of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.config import RouterConfig
from modem.errors import ConfigError
from modem.routing.base import Router
from modem.routing.load import load_router
from modem.routing.strategies import embedded, knn, lexical, majority, ridge
from modem.routing.strategies.catalogue import IMPORT_PATHS, WHEN
from tests.unit.routing.minilm import minilm_sha256
from tests.unit.routing.strategies.words import ENCODER

_WORDS = {"math": "sum root prime angle", "health": "fever cough dose ward", "other": "song king inn shop"}
TEXTS = [f"tell me of {a} and {b}" for words in _WORDS.values() for a in words.split() for b in words.split()]
LABELS = [domain for domain in _WORDS for _ in range(16)]


class Saved(Router, Protocol):
    def save(self, folder: Path) -> None: ...


FITS: dict[str, Callable[[], Saved]] = {
    "majority": lambda: majority.fit(TEXTS, LABELS),
    "tfidf-linear": lambda: lexical.fit(TEXTS, LABELS),
    "knn": lambda: knn.fit(TEXTS, LABELS, ENCODER),
    "ridge": lambda: ridge.fit(TEXTS, LABELS, ENCODER),
}
FITTED = {name: fit() for name, fit in FITS.items()}
RIDGE = ridge.fit(TEXTS, LABELS, ENCODER)
READING = [name for name in FITS if name != "majority"]


@pytest.mark.parametrize("name", FITS)
@given(texts=st.lists(st.text(), max_size=5))
def test_scores_are_probabilities_of_all_domains(name: str, texts: list[str]) -> None:
    router = FITTED[name]
    found = router.score(texts)
    assert len(found) == len(texts)
    for scores in found:
        assert set(scores.scores) == set(router.domains) == set(_WORDS)
        assert sum(scores.scores.values()) == pytest.approx(1)
        assert all(0 <= score <= 1 for score in scores.scores.values())


@pytest.mark.parametrize("name", FITS)
@given(texts=st.lists(st.sampled_from([*TEXTS, "", "prime song"]), min_size=1, max_size=6))
def test_together_is_as_alone(name: str, texts: list[str]) -> None:
    together = FITTED[name].score(texts)
    for text, scores in zip(texts, together, strict=True):
        (alone,) = FITTED[name].score([text])
        assert alone.scores == pytest.approx(scores.scores, abs=1e-6)


@pytest.mark.parametrize("name", FITS)
def test_blank_texts_say_nothing(name: str) -> None:
    for scores in FITTED[name].score(["", " \n"]):
        assert list(scores.scores.values()) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("name", READING)
def test_words_that_were_never_together_are_known(name: str) -> None:
    texts = ["a prime and an angle", "a ward full of cough", "the king of the shop"]
    found = [scores.top() for scores in FITTED[name].score(texts)]
    assert [domain for domain, _ in found] == ["math", "health", "other"]
    assert all(score > 0.5 for _, score in found)


@pytest.mark.parametrize("name", FITS)
def test_the_version_changes_with_what_was_learnt(name: str) -> None:
    again = FITS[name]()
    assert again.identity == FITTED[name].identity
    assert again.identity.name == name
    other = {"majority": majority, "tfidf-linear": lexical, "knn": knn, "ridge": ridge}[name]
    arguments = [TEXTS[1:], LABELS[1:], *([ENCODER] if name in ("knn", "ridge") else [])]
    assert other.fit(*arguments).identity.version != again.identity.version


@pytest.mark.parametrize("name", FITS)
def test_one_domain_is_nothing_to_choose_from(name: str) -> None:
    module = {"majority": majority, "tfidf-linear": lexical, "knn": knn, "ridge": ridge}[name]
    arguments = [["a", "b"], ["math", "math"], *([ENCODER] if name in ("knn", "ridge") else [])]
    with pytest.raises(ConfigError, match="two domains or more"):
        module.fit(*arguments)


@pytest.mark.parametrize("name", ["majority", "tfidf-linear"])
def test_what_was_saved_is_loaded_by_its_import_path(name: str, tmp_path: Path) -> None:
    FITTED[name].save(tmp_path)
    config = RouterConfig(kind="custom", import_path=IMPORT_PATHS[name], options={"folder": str(tmp_path)})
    loaded = load_router(config)
    assert loaded.identity == FITTED[name].identity
    for mine, its in zip(FITTED[name].score(TEXTS[::7]), loaded.score(TEXTS[::7]), strict=True):
        assert its.scores == pytest.approx(mine.scores)


@pytest.mark.parametrize("module", [knn, ridge], ids=["knn", "ridge"])
def test_on_the_real_encoder_what_was_saved_is_loaded(module: ModuleType, tmp_path: Path) -> None:
    encoder = embedded.load_encoder("package")
    assert encoder.sha256 == minilm_sha256()
    texts = [
        "solve x + 2 = 5",
        "area of a circle",
        "I have a fever",
        "dose of ibuprofen",
        "sing a song",
        "hi",
    ]
    labels = ["math", "math", "health", "health", "other", "other"]
    router = module.fit(texts, labels, encoder)
    router.save(tmp_path)
    config = RouterConfig(
        kind="custom", import_path=IMPORT_PATHS[router.identity.name], options={"folder": str(tmp_path)}
    )
    loaded = load_router(config)
    assert loaded.identity == router.identity
    asked = ["solve x + 7 = 21", "I have a high fever", "sing me a song"]
    for mine, its in zip(router.score(asked), loaded.score(asked), strict=True):
        assert its.scores == pytest.approx(mine.scores, abs=1e-6)
    assert [scores.top()[0] for scores in loaded.score(asked)] == ["math", "health", "other"]


def test_a_strategy_of_another_encoder_is_refused(tmp_path: Path) -> None:
    FITTED["knn"].save(tmp_path)
    with pytest.raises(ConfigError, match=r"sha256 000000000000.*modem router compare"):
        knn.load(str(tmp_path))


def test_folders_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read.*modem router compare"):
        majority.load(str(tmp_path))
    FITTED["majority"].save(tmp_path)
    with pytest.raises(ConfigError, match="holds the strategy 'majority', not 'tfidf-linear'"):
        lexical.load(str(tmp_path))
    (tmp_path / "strategy.safetensors").write_bytes(b"x")
    with pytest.raises(ConfigError, match="not a fitted strategy"):
        majority.load(str(tmp_path))
    (tmp_path / "strategy.json").write_text("{")
    with pytest.raises(ConfigError, match="not a fitted strategy"):
        majority.load(str(tmp_path))


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        FITTED["majority"].save(tmp_path / "file" / "x")


def test_what_is_saved_is_text_and_numbers(tmp_path: Path) -> None:
    FITTED["ridge"].save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["strategy.json", "strategy.safetensors"]
    names = json.loads((tmp_path / "strategy.json").read_text())
    assert names["domains"] == ["health", "math", "other"]
    assert names["version"] == FITTED["ridge"].identity.version


def test_the_majority_is_the_share_of_each_domain() -> None:
    router = majority.fit(["a", "b", "c", "d"], ["math", "math", "math", "other"])
    assert router.score(["whatever"])[0].scores == {"math": 0.75, "other": 0.25}


def test_two_domains_are_enough_for_words() -> None:
    kept = [i for i, label in enumerate(LABELS) if label != "other"]
    router = lexical.fit([TEXTS[i] for i in kept], [LABELS[i] for i in kept])
    found = router.score(["a fever on the ward", "the root of a prime"])
    assert [scores.top()[0] for scores in found] == ["health", "math"]


def test_neighbours_vote_by_nearness_and_domains_weigh_the_same() -> None:
    texts = ["prime sum", *["king song"] * 200]
    router = knn.fit(texts, ["math", *["other"] * 200], ENCODER)
    near, far = router.score(["prime sum", "king song"])
    assert near.top()[0] == "math"
    assert far.top()[0] == "other"
    assert min(near.scores.values()) > 0


def test_fewer_prompts_than_neighbours_are_enough() -> None:
    router = knn.fit(["prime sum", "king song"], ["math", "other"], ENCODER)
    assert router.score(["prime"])[0].top()[0] == "math"


def test_ridge_gains_a_domain_as_if_it_had_always_known_it() -> None:
    """The sums of a domain are its own: adding them later gives the same weights."""
    kept = [i for i, label in enumerate(LABELS) if label != "other"]
    small = ridge.fit([TEXTS[i] for i in kept], [LABELS[i] for i in kept], ENCODER)
    others = [text for text, label in zip(TEXTS, LABELS, strict=True) if label == "other"]
    grown = small.with_domain("other", others)
    whole = RIDGE
    assert grown.domains == whole.domains
    np.testing.assert_allclose(grown._weights, whole._weights, atol=1e-9)


def test_ridge_loses_a_domain_as_if_it_had_never_known_it() -> None:
    kept = [i for i, label in enumerate(LABELS) if label != "other"]
    small = ridge.fit([TEXTS[i] for i in kept], [LABELS[i] for i in kept], ENCODER)
    shrunk = RIDGE.without_domain("other")
    assert shrunk.domains == ("health", "math")
    np.testing.assert_allclose(shrunk._weights, small._weights, atol=1e-9)


def test_ridge_weighs_domains_the_same_however_many_prompts_they_have() -> None:
    texts, labels = TEXTS + TEXTS[:16] * 9, LABELS + LABELS[:16] * 9
    many = ridge.fit(texts, labels, ENCODER)
    np.testing.assert_allclose(many._weights, RIDGE._weights, atol=1e-9)


def test_ridge_chooses_a_sharpness_however_its_prompts_are_ordered() -> None:
    interleaved = sorted(range(len(TEXTS)), key=lambda i: (i % 16, i))
    router = ridge.fit([TEXTS[i] for i in interleaved], [LABELS[i] for i in interleaved], ENCODER)
    assert router._sharpness == RIDGE._sharpness


def test_every_strategy_says_when_to_pick_it() -> None:
    assert set(IMPORT_PATHS) <= set(WHEN)
    for path in IMPORT_PATHS.values():
        module, _, name = path.partition(":")
        assert callable(getattr(__import__(module, fromlist=[name]), name))


def test_votes_by_hand() -> None:
    cosines = np.array([[0.9, 0.8, 0.8], [0.0, 0.5, 0.5]], dtype=np.float32)
    found = knn.vote(cosines, np.array([0, 1, 1]), sharpness=10.0)
    # The second domain has two prompts, so each of them counts half.
    first = 1 / (1 + np.exp(-1.0))
    assert found[0] == pytest.approx(0.98 * np.array([first, 1 - first]) + 0.01)
    assert found[1, 1] > 0.97


@given(st.integers(1, 4), st.integers(2, 120), st.sampled_from(knn.SHARPNESSES), st.integers(0, 99))
def test_votes_are_probabilities(num_texts: int, num_known: int, sharpness: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-1, 1, (num_texts, num_known)).astype(np.float32)
    truth = np.arange(num_known) % 2
    found = knn.vote(cosines, truth, sharpness)
    assert found.shape == (num_texts, 2)
    assert found.sum(axis=1) == pytest.approx(np.ones(num_texts))
    shuffled = rng.permutation(num_known)
    if num_known <= knn.NUM_NEIGHBOURS:
        np.testing.assert_allclose(knn.vote(cosines[:, shuffled], truth[shuffled], sharpness), found)


def test_prompts_that_are_easy_to_tell_make_neighbours_sure() -> None:
    easy = knn.fit(TEXTS, LABELS, ENCODER)
    rng = np.random.default_rng(0)
    hard = knn.fit(TEXTS, [str(label) for label in rng.permutation(LABELS)], ENCODER)
    assert easy._sharpness >= hard._sharpness
    assert easy.score(["a prime and an angle"])[0].top()[1] > 0.8
    assert hard.score(["a prime and an angle"])[0].top()[1] < 0.8

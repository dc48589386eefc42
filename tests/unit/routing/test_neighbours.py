from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.routing.calibration import softmax
from modem.routing.neighbours import NEIGHBOURS, Neighbours, NeighboursConfig, Points, mix, read_points
from modem.routing.network_router import Outputs
from modem.training.neighbours import Scored, choose, fit_points, write_points

DIM = 8


def clusters(
    per_domain: tuple[int, ...], seed: int = 0, spread: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around one corner for each domain."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(per_domain)), per_domain)
    found = np.eye(len(per_domain), DIM)[labels] + spread * rng.normal(size=(len(labels), DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), labels


def points(
    per_domain: tuple[int, ...] = (30, 30, 30), bias: tuple[float, ...] = (0, 0, 0), dim: int = DIM
) -> Points:
    embeddings, labels = clusters(per_domain)
    return fit_points(embeddings, labels, np.array(bias, dtype=np.float32), dim)


def vote(neighbours: Neighbours, embedding: np.ndarray) -> np.ndarray:
    nearest, nearness = neighbours.nearest(embedding)
    found: np.ndarray = neighbours.votes(nearest[None], nearness[None])[0]
    return found


def test_those_around_a_text_vote_for_their_domain() -> None:
    neighbours = Neighbours(points(), NeighboursConfig(num=10))
    embeddings, labels = clusters((5, 5, 5), seed=1)
    found = np.array([vote(neighbours, one) for one in embeddings])
    assert (found.argmax(axis=1) == labels).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(15))
    assert (found > 0).all(), "no domain is ruled out"


def test_the_nearest_come_first_and_are_the_nearest() -> None:
    held = points()
    neighbours = Neighbours(held, NeighboursConfig(num=7))
    (embedding, *_), _ = clusters((1, 1, 1), seed=2)
    nearest, nearness = neighbours.nearest(embedding)
    place = (embedding - held.mean) @ held.projection
    distances = ((held.points - place) ** 2).sum(axis=1)
    assert nearest.tolist() == np.argsort(distances)[:7].tolist()
    assert (np.diff(nearness) <= 0).all()
    assert -2 * np.diff(nearness) == pytest.approx(np.diff(distances[nearest]), abs=1e-4)


def test_among_many_points_hardly_one_that_is_near_is_missed() -> None:
    rng = np.random.default_rng(3)
    # As of an encoder: 128 components, the later the smaller.
    spread = (0.98 ** np.arange(128)).astype(np.float32)
    embeddings = (rng.normal(size=(9000, 128)) * spread).astype(np.float32)
    held = fit_points(embeddings, rng.integers(0, 3, 9000), np.zeros(3, dtype=np.float32), 128)
    neighbours = Neighbours(held, NeighboursConfig(num=40))
    shares = []
    for embedding in (rng.normal(size=(30, 128)) * spread).astype(np.float32):
        place = (embedding - held.mean) @ held.projection
        nearest = np.argsort(((held.points - place) ** 2).sum(axis=1))[:40]
        found, nearness = neighbours.nearest(embedding)
        assert len(set(found)) == 40
        assert (np.diff(nearness) <= 0).all()
        shares.append(np.isin(nearest, found).mean())
    assert np.mean(shares) > 0.9


@given(seed=st.integers(0, 1000), num=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_a_prompt_that_was_learnt_is_its_own_nearest(seed: int, num: int) -> None:
    embeddings, labels = clusters((60, 60, 60), seed)
    held = fit_points(embeddings, labels, np.zeros(3, dtype=np.float32), DIM)
    found, _ = Neighbours(held, NeighboursConfig(num=num)).nearest(embeddings[7])
    place = (embeddings[7] - held.mean) @ held.projection
    nearest = ((held.points - place) ** 2).sum(axis=1)
    assert nearest[found[0]] == pytest.approx(nearest.min(), abs=1e-6)


def test_a_domain_with_many_prompts_has_no_more_to_say() -> None:
    embeddings = np.zeros((40, DIM), dtype=np.float32)  # all in one place
    labels = np.array([0] * 30 + [1] * 10)
    held = fit_points(embeddings, labels, np.zeros(2, dtype=np.float32), DIM)
    assert vote(Neighbours(held, NeighboursConfig(num=40)), embeddings[0]) == pytest.approx([0.5, 0.5])


def test_the_bias_is_the_prior() -> None:
    embeddings = np.zeros((20, DIM), dtype=np.float32)
    held = fit_points(embeddings, np.array([0, 1] * 10), np.log([1.6, 0.4]).astype(np.float32), DIM)
    assert vote(Neighbours(held, NeighboursConfig(num=20)), embeddings[0]) == pytest.approx([0.8, 0.2])


def test_more_neighbours_than_there_are_points_are_all() -> None:
    nearest, _ = Neighbours(points((2, 2, 2)), NeighboursConfig(num=50)).nearest(
        np.zeros(DIM, dtype=np.float32)
    )
    assert sorted(nearest) == list(range(6))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(0, 1))
def test_the_mixture_is_a_mean(logits: list[float], share: float) -> None:
    given_logits = np.array([logits], dtype=np.float32)
    votes = np.array([[0.2, 0.3, 0.5]])
    found = np.exp(mix(given_logits, votes, share))
    assert found == pytest.approx((1 - share) * softmax(given_logits) + share * votes, abs=1e-5)


def test_without_a_share_the_head_decides_alone() -> None:
    neighbours = Neighbours(points(), NeighboursConfig(share=0.0))
    logits = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    (embedding, *_), _ = clusters((1, 1, 1))
    assert np.exp(neighbours.mix(logits, embedding)) == pytest.approx(softmax(logits[None])[0], abs=1e-6)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    held = points(bias=(0.1, -0.2, 0.0), dim=4)
    write_points(held, tmp_path)
    found = read_points(tmp_path, DIM, 3, "remedy")
    assert found.points == pytest.approx(held.points, abs=1e-6)
    assert found.points.shape == (90, 4)
    assert (found.labels == held.labels).all()
    assert found.bias == pytest.approx(held.bias)


@pytest.mark.parametrize(("dim", "num_domains"), [(DIM + 1, 3), (DIM, 4), (DIM, 2)])
def test_the_neighbours_of_another_router_are_refused(tmp_path: Path, dim: int, num_domains: int) -> None:
    write_points(points(), tmp_path)
    with pytest.raises(ConfigError, match=r"neighbours of another router; remedy"):
        read_points(tmp_path, dim, num_domains, "remedy")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=NEIGHBOURS):
        read_points(tmp_path, DIM, 3, "remedy")
    (tmp_path / NEIGHBOURS).write_bytes(b"not tensors")
    with pytest.raises(ConfigError, match=NEIGHBOURS):
        read_points(tmp_path, DIM, 3, "remedy")


def scored(seed: int, right_logits: bool) -> Scored:
    embeddings, labels = clusters((20, 20, 20), seed)
    logits = 4.0 * np.eye(3, dtype=np.float32)[labels if right_logits else (labels + 1) % 3]
    return Scored(Outputs(logits.astype(np.float32), embeddings), labels)


def test_neighbours_get_a_share_where_they_know_better_than_the_head() -> None:
    chosen = choose(points(), {"a": scored(1, right_logits=False)})
    assert chosen.config.share > 0.5
    assert chosen.log_loss < chosen.without


def test_the_head_is_left_alone_where_neighbours_know_nothing() -> None:
    embeddings, labels = clusters((30, 30, 30))
    shuffled = np.random.default_rng(0).permutation(labels)
    held = fit_points(embeddings, shuffled, np.zeros(3, dtype=np.float32), DIM)
    assert choose(held, {"a": scored(1, right_logits=True)}).config.share == 0

"""A router of the paper's size on a GPU. Its weights are random, so nothing is said of its choices."""

import numpy as np
import pytest

from modem.routing.encoder_router import EncoderRouter
from tests.builders import DOMAINS
from tests.checkpoints import deberta_v3_large, write_checkpoint

pytestmark = pytest.mark.gpu

MAX_BYTES = 2 * 1024**3
TEXTS = [
    "prove the theorem",
    "what is pain",
    "python code bug in my loop " * 200,
    "",
    "history of music",
    "x",
]
TOLERANCE = 0.02
"""bfloat16 keeps 8 bits, and the order of additions differs with the shape of a batch."""


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> EncoderRouter:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    folder = write_checkpoint(tmp_path_factory.mktemp("large"), deberta_v3_large, dtype="bfloat16")
    torch.cuda.reset_peak_memory_stats()
    return EncoderRouter(folder)


def probabilities(router: EncoderRouter, texts: list[str]) -> np.ndarray:
    return np.array([list(scores.scores.values()) for scores in router.score(texts)])


def test_it_runs_in_bfloat16_on_the_gpu(router: EncoderRouter) -> None:
    weights = list(router._model.parameters())
    assert {str(weight.dtype) for weight in weights} == {"torch.bfloat16"}
    assert {weight.device.type for weight in weights} == {"cuda"}
    assert sum(weight.numel() for weight in weights) > 400_000_000


def test_every_text_gets_a_distribution_and_a_unit_vector(router: EncoderRouter) -> None:
    found = probabilities(router, TEXTS)
    assert found.shape == (len(TEXTS), len(DOMAINS))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(router.embed(TEXTS), axis=1), 1, atol=1e-3)


def test_company_changes_a_score_no_more_than_rounding(router: EncoderRouter) -> None:
    together = probabilities(router, TEXTS)
    alone = np.concatenate([probabilities(router, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)
    cosines = [
        (router.embed([text])[0] * row).sum() for text, row in zip(TEXTS, router.embed(TEXTS), strict=True)
    ]
    assert min(cosines) > 1 - TOLERANCE


def test_full_batches_of_long_texts_fit_into_two_gibibytes(router: EncoderRouter) -> None:
    import torch

    router.score([f"{number} " + "python code bug in my loop " * 200 for number in range(64)])
    assert torch.cuda.max_memory_allocated() <= MAX_BYTES

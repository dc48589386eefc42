import numpy as np
import pytest

from modem.errors import ConfigError
from modem.training.fit import Labelled, fit
from modem.training.metrics import evaluate
from tests.unit.routing.minilm import make_head

CENTRES = np.eye(3, 6)
DOMAINS = ("a", "b", "c")


def clusters(domains: tuple[str, ...] = DOMAINS, each: int = 30, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    points = [CENTRES[i] + 0.3 * rng.standard_normal((each, 6)) for i in range(len(domains))]
    labels = tuple(domain for domain in domains for _ in range(each))
    return Labelled(np.concatenate(points).astype(np.float32), labels)


@pytest.mark.parametrize("domains", [DOMAINS, DOMAINS[:2]])
def test_the_fitted_rows_reproduce_the_classes(domains: tuple[str, ...]) -> None:
    validation = clusters(domains, seed=1)
    fitted = fit(clusters(domains), [validation], domains)
    head = make_head(domains, fitted.weights, fitted.bias, sha256="0")
    found = evaluate(head.probabilities(validation.embeddings), validation.labels, domains)
    assert fitted.weights.shape == (len(domains), 6)
    assert fitted.bias.shape == (len(domains),)
    assert found.accuracy > 0.9
    # The same model as scikit-learn's own, for two classes too.
    assert found.log_loss == pytest.approx(fitted.log_loss, rel=1e-4)


def test_the_penalty_with_the_least_loss_wins() -> None:
    losses = {c: fit(clusters(), [clusters(seed=1)], DOMAINS, [c]).log_loss for c in (1e-4, 1.0)}
    assert losses[1.0] < losses[1e-4]
    assert fit(clusters(), [clusters(seed=1)], DOMAINS, list(losses)).c == 1.0


def test_a_small_set_counts_as_much_as_a_large_one() -> None:
    small, large = clusters(each=3, seed=1), clusters(each=300, seed=2)
    alone = [fit(clusters(), [labelled], DOMAINS, [1.0]).log_loss for labelled in (small, large)]
    both = fit(clusters(), [small, large], DOMAINS, [1.0]).log_loss
    assert both == pytest.approx(sum(alone) / 2)


def test_fitting_is_deterministic() -> None:
    one, other = (fit(clusters(), [clusters(seed=1)], DOMAINS) for _ in range(2))
    np.testing.assert_array_equal(one.weights, other.weights)


def test_a_domain_without_prompts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"without: \['d'\]"):
        fit(clusters(), [clusters()], [*DOMAINS, "d"])


def test_one_domain_is_nothing_to_choose_from() -> None:
    with pytest.raises(ConfigError, match="two domains or more"):
        fit(clusters(DOMAINS[:1]), [clusters(DOMAINS[:1])], DOMAINS[:1])


def test_without_prompts_to_choose_on_it_refuses() -> None:
    nothing = Labelled(np.zeros((0, 6), np.float32), ())
    for choosing in ([], [nothing], [clusters(), nothing]):
        with pytest.raises(ConfigError, match="held-out prompts"):
            fit(clusters(), choosing, DOMAINS)

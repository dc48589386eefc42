from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.config import DomainConfig, GatewayConfig, RoutingPolicyConfig
from modem.errors import ConfigError
from modem.routing.costs import (
    MARGINS,
    THRESHOLDS,
    Costs,
    Judged,
    Settings,
    Targets,
    choose,
    outcome,
    read_costs,
    sure_of,
    switch_margins,
)
from modem.routing.policy import Heard
from modem.types import DomainScores

DOMAINS = ("math", "health", "other")


def gateway(threshold: float = 0.5, margin: float = 0.0, switch_margin: float = 0.3) -> GatewayConfig:
    domain = DomainConfig(description="d", application="a", base_model="m", context_length_tokens=1)
    routing = RoutingPolicyConfig(threshold=threshold, margin=margin, switch_margin=switch_margin)
    return GatewayConfig(domains=dict.fromkeys(DOMAINS, domain), routing=routing)


def scores(math: float, health: float) -> DomainScores:
    return DomainScores({"math": math, "health": health, "other": max(0.0, 1 - math - health)})


def judged(truth: str, math: float, health: float, history: DomainScores | None = None) -> Judged:
    return Judged(Heard(scores(math, health), history), (truth,))


SURE_RIGHT = judged("math", 0.9, 0.05)
DOUBTFUL_RIGHT = judged("math", 0.6, 0.3)
DOUBTFUL_WRONG = judged("other", 0.6, 0.3)


@pytest.mark.parametrize(
    ("truth", "answered", "cost"),
    [
        ("math", "math", 0.0),
        ("other", "other", 0.0),
        ("math", "health", 1.0),
        ("other", "health", 1.0),
        ("math", "other", 0.4),
    ],
)
def test_the_usual_costs(truth: str, answered: str, cost: float) -> None:
    assert Costs().of((truth,), answered, "other") == cost


def test_a_pair_has_its_own_cost_and_the_rest_the_usual() -> None:
    costs = Costs(wrong_specialist=2, pairs={"health": {"math": 5, "other": 0.1}})
    assert costs.of(("health",), "math", "other") == 5
    assert costs.of(("health",), "other", "other") == 0.1
    assert costs.of(("math",), "health", "other") == 2
    assert costs.of(("health",), "health", "other") == 0


def test_any_accepted_domain_is_right() -> None:
    assert Costs().of(("math", "health"), "health", "other") == 0


def test_an_outcome_by_hand() -> None:
    found = outcome(
        [SURE_RIGHT, DOUBTFUL_RIGHT, DOUBTFUL_WRONG, judged("health", 0.05, 0.05)], gateway(0.7), Costs()
    )
    # Sure and right; doubted although right; doubted rightly; the router is sure of other.
    assert found.settings == Settings(0.7, 0.0, 0.3)
    assert found.cost == pytest.approx((0 + 0.4 + 0 + 0.4) / 4)
    assert found.accuracy == 0.5
    assert (found.wrong_specialist, found.needless_fallback) == (0, 0.5)
    assert found.doubted == 0.5
    assert found.answered_accuracy == 0.5


def test_where_all_is_doubted_nothing_is_answered() -> None:
    found = outcome([DOUBTFUL_RIGHT], gateway(0.95), Costs())
    assert (found.doubted, found.answered_accuracy) == (1.0, None)


def test_dear_mistakes_raise_the_bar_and_cheap_ones_lower_it() -> None:
    mixed = [SURE_RIGHT, DOUBTFUL_RIGHT, DOUBTFUL_WRONG]
    careful = choose(mixed, gateway(), Costs(needless_fallback=0.1))
    bold = choose(mixed, gateway(0.9), Costs(wrong_specialist=0.2, needless_fallback=1.0))
    assert careful.doubted == pytest.approx(2 / 3)
    assert careful.answered_accuracy == 1.0
    assert bold.doubted == 0
    assert bold.wrong_specialist == pytest.approx(1 / 3)


def test_without_a_reason_nothing_changes() -> None:
    assert choose([SURE_RIGHT], gateway(0.37, 0.02), Costs()).settings == Settings(0.37, 0.02, 0.3)


def test_the_smallest_change_that_helps_is_taken() -> None:
    found = choose([judged("other", 0.52, 0.2), SURE_RIGHT], gateway(0.5), Costs())
    assert found.settings == Settings(0.55, 0.0, 0.3)


def test_a_margin_is_found_where_a_threshold_cannot_help() -> None:
    close = judged("other", 0.46, 0.44)
    clear = judged("math", 0.45, 0.2)
    found = choose([close, clear], gateway(0.4), Costs())
    assert found.cost == 0
    assert found.settings.margin > 0.02


def test_a_target_of_accuracy_is_paid_for() -> None:
    rows = [*[SURE_RIGHT] * 5, *[DOUBTFUL_RIGHT] * 4, DOUBTFUL_WRONG]
    free = choose(rows, gateway(), Costs())
    strict = choose(rows, gateway(), Costs(), Targets(accuracy=0.95))
    assert free.answered_accuracy == 0.9
    assert strict.answered_accuracy == 1.0
    assert strict.cost > free.cost


def test_a_target_of_fallbacks_is_paid_for() -> None:
    rows = [SURE_RIGHT, *[DOUBTFUL_WRONG] * 3]
    assert choose(rows, gateway(), Costs()).doubted == 0.75
    assert choose(rows, gateway(), Costs(), Targets(fallback=0.5)).doubted == 0


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (Targets(accuracy=0.9), r"target \(accuracy 0\.9\)\. .*answered at most 0\.500"),
        (Targets(cost=0.1), r"target \(cost 0\.1\)\. .*mean cost at least 0\.200"),
        (Targets(accuracy=0.9, fallback=0.1), r"together \(accuracy 0\.9, fallback 0\.1\).*at least 0\.000"),
    ],
)
def test_a_target_out_of_reach_says_how_far_one_gets(targets: Targets, message: str) -> None:
    # Nothing tells the two apart; other is the sure choice for both, so that doubting changes nothing.
    rows = [judged("math", 0.0, 0.0), judged("other", 0.0, 0.0)]
    with pytest.raises(ConfigError, match=message):
        choose(rows, gateway(), Costs(), targets)


def test_progress_counts_all_settings() -> None:
    seen: list[tuple[int, int]] = []
    choose([SURE_RIGHT], gateway(), Costs(), step=lambda done, total: seen.append((done, total)))
    total = len(THRESHOLDS) * len(MARGINS)
    assert seen[0] == (1, total)
    assert seen[-1] == (total, total)


def test_switch_margins_are_judged_by_conversations_only() -> None:
    moved = judged("health", 0.3, 0.6, history=scores(0.9, 0.05))
    stays = judged("math", 0.4, 0.55, history=scores(0.9, 0.05))
    best, sweep = switch_margins([moved, stays, DOUBTFUL_WRONG], gateway(), Costs())
    assert best.settings == Settings(0.5, 0.0, 0.3)
    assert best.cost == 0
    assert [found.settings.switch_margin for found in sweep] == sorted(
        found.settings.switch_margin for found in sweep
    )
    by_margin = {found.settings.switch_margin: found.cost for found in sweep}
    assert by_margin[0.0] == 0.5
    assert by_margin[1.0] == 0.5


def test_how_sure_and_how_right() -> None:
    sure, right = sure_of([SURE_RIGHT, DOUBTFUL_WRONG, Judged(Heard(None), ("other",))], gateway())
    np.testing.assert_allclose(sure, [0.9, 0.6, 0.0])
    assert right.tolist() == [True, False, True]


def test_costs_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "costs.yaml"
    file.write_text("needless_fallback: 0.2\npairs:\n  health: {math: 3}\n")
    assert read_costs(file) == Costs(needless_fallback=0.2, pairs={"health": {"math": 3}})


def test_an_empty_file_means_the_usual_costs(tmp_path: Path) -> None:
    (tmp_path / "costs.yaml").write_text("# nothing yet\n")
    assert read_costs(tmp_path / "costs.yaml") == Costs()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("needles_fallback: 1\n", "keys wrong_specialist, needless_fallback, pairs"),
        ("wrong_specialist: -1\n", "greater than or equal to 0"),
        ("pairs: {Health: {math: 1}}\n", "pattern"),
        ("- 1\n", "valid dictionary"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_a_wrong_cost_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "costs.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_costs(file)
    assert str(file) in str(caught.value)


def test_a_missing_cost_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_costs(tmp_path / "none.yaml")


@st.composite
def requests(draw: st.DrawFn) -> Judged:
    math = draw(st.floats(0, 1))
    health = draw(st.floats(0, 1 - math))
    history = draw(st.none() | st.just(scores(0.8, 0.1)) | st.just(scores(0.2, 0.2)))
    return judged(draw(st.sampled_from(DOMAINS)), math, health, history)


REQUESTS = st.lists(requests(), min_size=1, max_size=8)
PROBABILITY = st.floats(0, 1)


@given(REQUESTS, PROBABILITY, PROBABILITY)
def test_shares_add_up(rows: Sequence[Judged], threshold: float, margin: float) -> None:
    found = outcome(rows, gateway(threshold, margin), Costs())
    assert found.accuracy + found.wrong_specialist + found.needless_fallback == pytest.approx(1)
    assert found.cost == pytest.approx(found.wrong_specialist + 0.4 * found.needless_fallback)


@settings(max_examples=25, deadline=None)
@given(REQUESTS, PROBABILITY)
def test_no_settings_tried_are_cheaper_than_the_chosen(rows: Sequence[Judged], threshold: float) -> None:
    best = choose(rows, gateway(threshold), Costs())
    now = outcome(rows, gateway(threshold), Costs())
    assert best.cost <= now.cost + 1e-9
    for t in THRESHOLDS[::4]:
        for m in MARGINS[::4]:
            assert best.cost <= outcome(rows, gateway(t, m), Costs()).cost + 1e-9


@settings(max_examples=25, deadline=None)
@given(REQUESTS, PROBABILITY, PROBABILITY)
def test_what_is_chosen_reaches_the_targets(rows: Sequence[Judged], accuracy: float, fallback: float) -> None:
    targets = Targets(accuracy=accuracy, fallback=fallback)
    try:
        best = choose(rows, gateway(), Costs(), targets)
    except ConfigError:
        for t in THRESHOLDS[::4]:
            assert targets.missed(outcome(rows, gateway(t), Costs()))
        return
    assert targets.missed(best) == ()
    assert best.doubted <= fallback

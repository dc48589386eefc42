from contextlib import suppress
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.slo import METRICS, Limit, Slo, Target, Times, parse_slo


def times(*ttft_s: float, itl_s: float = 0.0, e2e_s: float = 1.0) -> Times:
    number = len(ttft_s)
    return Times(np.array(ttft_s), np.full(number, itl_s), np.full(number, e2e_s))


@pytest.mark.parametrize(
    ("text", "limits", "share"),
    [
        ("ttft_p99<2s", (Limit("ttft", 2.0),), 0.99),
        ("ttft_p99.9<=500ms", (Limit("ttft", 0.5),), 0.999),
        (" e2e_p50 < 1.5 min ", (Limit("e2e", 90.0),), 0.5),
        ("itl_p100<50ms", (Limit("itl", 0.05),), 1.0),
        ("share(ttft<2s)>=99%", (Limit("ttft", 2.0),), 0.99),
        ("share(ttft<2s, e2e<30s)>=0.95", (Limit("ttft", 2.0), Limit("e2e", 30.0)), 0.95),
    ],
)
def test_a_target_is_read(text: str, limits: tuple[Limit, ...], share: float) -> None:
    (target,) = parse_slo(text).targets
    assert target.limits == pytest.approx(limits)
    assert target.share == pytest.approx(share)


def test_targets_are_parted_at_commas_outside_of_brackets() -> None:
    slo = parse_slo("ttft_p90<500ms,share(ttft<2s,itl<1s)>=99%,e2e_p99<30s")
    assert [len(target.limits) for target in slo.targets] == [1, 2, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no target"),
        (" , ", "no target"),
        ("ttft_p99<2s,", "is no target"),
        ("fast", "'fast' is no target"),
        ("ttft<2s", "'ttft<2s' is no target"),
        ("ttft_p99<2", "has no unit"),
        ("ttft_p99<2h", "unit 'h' is unknown"),
        ("ttft_p99<0s", "more than 0"),
        ("ttft_p99>2s", "is no target"),
        ("ttft_p0<2s", "more than 0 and at most 100 %"),
        ("ttft_p101<2s", "at most 100 %"),
        ("latency_p99<2s", "no metric 'latency'; there are ttft (time to first token)"),
        ("share(ttft<2s)>=99", "at most 100 %"),
        ("share()>=99%", "is no limit"),
        ("share(ttft<2s,ttft<3s)>=99%", "two limits for one metric"),
        ("ttft_p99<-2s", "is no limit"),
    ],
)
def test_a_wrong_target_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match="--slo") as error:
        parse_slo(text)
    assert says in str(error.value)


def test_one_that_is_not_answered_is_too_late() -> None:
    target = parse_slo("share(ttft<2s,e2e<30s)>=50%").targets[0]
    assert target.met(times(1.0, 2.0, 2.1, nan)).tolist() == [True, True, False, False]
    assert not target.met(times(1.0, e2e_s=31.0)).any()


def test_the_budget_is_what_may_be_missed() -> None:
    target = Target((Limit("ttft", 2.0),), 0.99)
    assert target.budget_used(1.0) == 0
    assert target.budget_used(0.99) == pytest.approx(1)
    assert target.budget_used(0.98) == pytest.approx(2)
    everyone = Target((Limit("ttft", 2.0),), 1.0)
    assert everyone.budget_used(1.0) == 0
    assert everyone.budget_used(0.999) == inf


def test_the_tightest_limit_counts() -> None:
    slo = parse_slo("ttft_p90<500ms,ttft_p99<2s")
    assert slo.tightest("ttft") == Limit("ttft", 0.5)
    assert slo.tightest("e2e") is None
    assert slo.targets[1].limit_s("ttft") == 2.0
    assert slo.targets[1].limit_s("itl") is None


limits = st.builds(Limit, st.sampled_from(METRICS), st.integers(1, 100_000).map(lambda ms: ms / 1000))
targets = st.builds(
    Target,
    st.lists(limits, min_size=1, max_size=3, unique_by=lambda limit: limit.metric).map(tuple),
    st.integers(1, 1000).map(lambda permille: permille / 1000),
)


@given(st.lists(targets, min_size=1, max_size=3).map(tuple).map(Slo))
def test_what_is_written_is_read_again(slo: Slo) -> None:
    again = parse_slo(str(slo))
    assert len(again.targets) == len(slo.targets)
    for found, target in zip(again.targets, slo.targets, strict=True):
        assert found.share == pytest.approx(target.share)
        assert [limit.metric for limit in found.limits] == [limit.metric for limit in target.limits]
        assert [each.most_s for each in found.limits] == pytest.approx([x.most_s for x in target.limits])


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        assert parse_slo(text).targets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.traces.mix import Mix, parse_mix, split
from modem.traces.trace import ANY_DOMAIN, Arrival, Trace

KNOWN = ("math", "health", "other")


def plain(number: int, sessions: int = 0) -> Trace:
    return Trace.of(
        [Arrival(t, ANY_DOMAIN, t + 1, 1, f"s{t % sessions}" if sessions else None) for t in range(number)]
    )


def test_weights_become_shares() -> None:
    assert parse_mix("math=1, other=3", KNOWN).start == {"math": 0.25, "other": 0.75}


def test_a_mix_that_moves_has_two_sides_with_the_same_domains() -> None:
    mix = parse_mix("math=1 to math=1,other=3", KNOWN)
    assert mix.start == {"math": 1.0, "other": 0.0}
    assert mix.end == {"math": 0.25, "other": 0.75}
    assert str(mix) == "math=1,other=0 to math=0.25,other=0.75"
    assert str(Mix.even(("a", "b"))) == "a=0.5,b=0.5"


def test_a_mix_of_several_points_has_all_domains_at_each() -> None:
    mix = parse_mix("math=1 to health=1,other=1 to math=3,other=1 to health=2", KNOWN)
    assert mix.domains == KNOWN
    assert [tuple(point.values()) for point in mix.points] == [
        (1, 0, 0),
        (0, 0.5, 0.5),
        (0.75, 0, 0.25),
        (0, 1, 0),
    ]
    assert mix.start == {"math": 1.0, "health": 0.0, "other": 0.0}
    assert mix.end == {"math": 0.0, "health": 1.0, "other": 0.0}
    assert str(mix).count(" to ") == 3
    assert not mix.is_steady


def test_points_divide_the_time_evenly() -> None:
    mix = parse_mix("math=1 to other=1 to math=1,other=1")
    found = mix.at(np.array([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert found[:, 0] == pytest.approx([1.0, 0.5, 0.0, 0.25, 0.5])


@given(
    st.lists(st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(any), min_size=1, max_size=6),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_shares_add_up_at_every_moment(points: list[list[float]], progress: list[float]) -> None:
    text = " to ".join(",".join(f"{n}={w!r}" for n, w in zip(KNOWN, p, strict=True)) for p in points)
    mix = parse_mix(text, KNOWN)
    shares = mix.at(np.array(progress))
    assert shares.shape == (len(progress), 3)
    assert (shares >= 0).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(progress)))


def test_a_mix_that_stands_still_is_steady_however_it_is_written() -> None:
    assert parse_mix("math=1,other=1 to math=2,other=2").is_steady
    assert str(parse_mix("math=1 to math=5")) == "math=1"
    assert Mix.even(KNOWN).is_steady


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("math", "'math' is no DOMAIN=WEIGHT"),
        ("math=much", "no DOMAIN=WEIGHT"),
        ("maths=1", "'maths' is none of math, health, other"),
        ("math=-1", "the weight of math is -1"),
        ("math=nan", "the weight of math is nan"),
        ("math=0", "all weights are 0"),
        ("math=1 to other=1 to", "'other=1 to' is no DOMAIN=WEIGHT"),
        ("math=1 to  to other=1", "'' is no DOMAIN=WEIGHT"),
        ("math=1 to other=0 to math=1", "all weights are 0"),
    ],
)
def test_a_wrong_mix_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_mix(text, KNOWN)


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_splitting_changes_nothing_but_the_domains(seed: int, share: float) -> None:
    trace = plain(50)
    mixed = split(trace, Mix.steady({"math": share, "other": 1 - share}), np.random.default_rng(seed))
    assert (mixed.t_s == trace.t_s).all()
    assert (mixed.prompt_tokens == trace.prompt_tokens).all()
    assert sum(mixed.counts().values()) == 50
    if share == 0:
        assert mixed.counts()["math"] == 0


def test_shares_are_met() -> None:
    counts = split(plain(20000), parse_mix("math=1,health=2,other=7"), np.random.default_rng(1)).counts()
    assert counts["math"] == pytest.approx(2000, rel=0.1)
    assert counts["health"] == pytest.approx(4000, rel=0.1)


def test_a_mix_that_moves_moves() -> None:
    trace = split(plain(20000), parse_mix("math=1 to other=1"), np.random.default_rng(1))
    math = trace.domain_index == trace.domains.index("math")
    quarters = [float(math[start : start + 5000].mean()) for start in range(0, 20000, 5000)]
    assert quarters == pytest.approx([0.875, 0.625, 0.375, 0.125], abs=0.03)


def test_a_mix_of_three_points_moves_twice() -> None:
    trace = split(plain(20000), parse_mix("math=1 to other=1 to math=1"), np.random.default_rng(1))
    math = trace.domain_index == trace.domains.index("math")
    quarters = [float(math[start : start + 5000].mean()) for start in range(0, 20000, 5000)]
    assert quarters == pytest.approx([0.75, 0.25, 0.25, 0.75], abs=0.03)


@given(st.integers(0, 2**32))
def test_a_domain_without_a_share_is_never_drawn(seed: int) -> None:
    mix = parse_mix("math=0,health=1,other=0")
    drawn = mix.draw(np.linspace(0, 1, 50), np.random.default_rng(seed))
    assert set(drawn.tolist()) == {1}


def test_a_session_stays_in_its_domain() -> None:
    trace = split(plain(500, sessions=20), Mix.even(KNOWN), np.random.default_rng(1))
    domains_of: dict[str | None, set[str]] = {}
    for row in trace:
        domains_of.setdefault(row.session, set()).add(row.domain)
    assert all(len(found) == 1 for found in domains_of.values())
    assert len(set.union(*domains_of.values())) == 3


def test_an_empty_trace_can_be_split() -> None:
    assert split(plain(0), Mix.even(KNOWN), np.random.default_rng(1)).counts() == dict.fromkeys(KNOWN, 0)

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.autoscaling.allocation import Claim, allocate

TURN_S = 600.0
NOW_S = 10_000.0


def claim(expert: str, need: float = 1.0, **changes: Any) -> Claim:
    """A claim of an expert that has been awake for long, with the replicas that it needs at one GPU each."""
    whole = math.ceil(need)
    values: dict[str, Any] = {
        "expert": expert,
        "gpus_per_replica": 1,
        "min_replicas": 0,
        "max_replicas": 10,
        "need": need,
        "wish": whole,
        "has": whole,
        "requests": 10 * need,
        "awake_since_s": 0.0 if whole else None,
    }
    return Claim(**{**values, **changes})


def cold(expert: str, need: float = 1.0, since_s: float = NOW_S, **changes: Any) -> Claim:
    return claim(expert, need, **{"has": 0, "awake_since_s": None, "waiting_since_s": since_s, **changes})


def shared(num_gpus: float, *claims: Claim) -> dict[str, int]:
    return dict(allocate(claims, num_gpus, NOW_S, TURN_S))


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    found = []
    for name in "abcdef"[: draw(st.integers(1, 6))]:
        low = draw(st.integers(0, 2))
        high = low + draw(st.integers(1, 6))
        awake = draw(st.booleans())
        found.append(
            Claim(
                expert=name,
                gpus_per_replica=draw(st.sampled_from([0.5, 1, 2, 4])),
                min_replicas=low,
                max_replicas=high,
                need=draw(st.floats(0, 8)),
                wish=draw(st.integers(low, high)),
                has=draw(st.integers(1, high)) if awake else draw(st.integers(0, 1)),
                requests=draw(st.floats(0, 200)),
                weight=draw(st.sampled_from([0.1, 1.0, 10.0])),
                waiting_since_s=None if awake else draw(st.floats(0, NOW_S)),
                awake_since_s=draw(st.floats(0, NOW_S)) if awake else None,
                raised_s=draw(st.none() | st.floats(0, NOW_S)),
            )
        )
    return found


class TestAlways:
    @given(claims(), st.floats(1, 30))
    def test_no_more_gpus_than_there_are(self, all_claims: list[Claim], num_gpus: float) -> None:
        granted = allocate(all_claims, num_gpus, NOW_S, TURN_S)
        used = sum(granted[each.expert] * each.gpus_per_replica for each in all_claims)
        least = sum(each.min_replicas * each.gpus_per_replica for each in all_claims)
        assert used <= max(num_gpus, least) + 1e-6

    @given(claims(), st.floats(1, 30))
    def test_nobody_gets_less_than_its_least_or_more_than_it_wishes(
        self, all_claims: list[Claim], num_gpus: float
    ) -> None:
        granted = allocate(all_claims, num_gpus, NOW_S, TURN_S)
        for each in all_claims:
            assert each.min_replicas <= granted[each.expert] <= max(each.min_replicas, each.wish)

    @given(claims())
    def test_with_gpus_enough_everyone_has_its_wish(self, all_claims: list[Claim]) -> None:
        granted = allocate(all_claims, 1000, NOW_S, TURN_S)
        assert granted == {each.expert: max(each.min_replicas, each.wish) for each in all_claims}

    @given(claims(), st.floats(1, 30), st.randoms())
    def test_the_order_of_the_claims_does_not_matter(
        self, all_claims: list[Claim], num_gpus: float, rng: Any
    ) -> None:
        other = list(all_claims)
        rng.shuffle(other)
        assert allocate(all_claims, num_gpus, NOW_S, TURN_S) == allocate(other, num_gpus, NOW_S, TURN_S)

    @given(claims(), st.integers(0, 30))
    def test_with_a_gpu_for_each_everyone_who_needs_one_has_a_replica(
        self, all_claims: list[Claim], more: int
    ) -> None:
        enough = sum((each.min_replicas + 1) * each.gpus_per_replica for each in all_claims) + more
        granted = allocate(all_claims, enough, NOW_S, TURN_S)
        assert all(granted[each.expert] for each in all_claims if each.needed)


class TestFirsts:
    def test_everyone_gets_one_before_anyone_gets_two(self) -> None:
        assert shared(3, claim("a", 3.0), cold("b", 0.2), cold("c", 0.1)) == {"a": 1, "b": 1, "c": 1}

    def test_a_sleeping_expert_takes_from_one_that_idles(self) -> None:
        idle = claim("a", 0.0, wish=2, has=2, awake_since_s=0.0)
        assert shared(2, idle, cold("b")) == {"a": 1, "b": 1}
        assert shared(1, idle, cold("b")) == {"a": 0, "b": 1}

    def test_what_must_stay_stays(self) -> None:
        assert shared(1, claim("a", 0.0, min_replicas=1, has=1), cold("b")) == {"a": 1, "b": 0}

    def test_who_is_in_its_turn_keeps_its_replica(self) -> None:
        assert shared(1, claim("a", awake_since_s=NOW_S - 599), cold("b")) == {"a": 1, "b": 0}

    def test_who_has_had_its_turn_yields_to_who_waits(self) -> None:
        assert shared(1, claim("a", awake_since_s=NOW_S - 600), cold("b")) == {"a": 0, "b": 1}

    def test_who_waits_longest_comes_first(self) -> None:
        waiting = cold("a", since_s=NOW_S - 10), cold("b", since_s=NOW_S - 90), cold("c", since_s=NOW_S - 50)
        assert shared(1, *waiting) == {"a": 0, "b": 1, "c": 0}

    def test_nobody_overtakes_who_waits_for_more_than_is_free(self) -> None:
        waiting = cold("big", gpus_per_replica=4, since_s=NOW_S - 90), cold("small", since_s=NOW_S - 50)
        in_turn = claim("old", awake_since_s=NOW_S - 10)
        assert shared(4, in_turn, *waiting) == {"old": 1, "big": 0, "small": 0}

    def test_but_who_already_has_one_keeps_it_meanwhile(self) -> None:
        big, done = cold("big", gpus_per_replica=4), claim("done", awake_since_s=0.0)
        assert shared(4, claim("old", awake_since_s=NOW_S - 10), done, big) == {"old": 1, "done": 1, "big": 0}

    def test_and_one_that_can_never_fit_blocks_nobody(self) -> None:
        assert shared(4, cold("big", gpus_per_replica=8, since_s=0.0), cold("small")) == {
            "big": 0,
            "small": 1,
        }


class TestMore:
    def test_it_goes_where_it_saves_most_requests(self) -> None:
        dense, sparse = claim("a", 3.0, requests=90.0, has=1), claim("b", 3.0, requests=30.0, has=1)
        assert shared(4, dense, sparse) == {"a": 3, "b": 1}

    def test_a_gpu_counts_as_much_as_it_saves(self) -> None:
        dear = claim("a", 3.0, requests=90.0, has=1, gpus_per_replica=4)
        cheap = claim("b", 3.0, requests=30.0, has=1)
        assert shared(8, dear, cheap) == {"a": 1, "b": 3}

    def test_a_weight_counts(self) -> None:
        dear = claim("a", 3.0, has=1, weight=2.0)
        assert shared(4, dear, claim("b", 3.0, has=1)) == {"a": 3, "b": 1}

    def test_the_rest_of_a_need_counts_as_the_rest(self) -> None:
        assert shared(5, claim("a", 2.2, has=2), claim("b", 2.9, has=2)) == {"a": 2, "b": 3}

    def test_moving_must_be_worth_a_start(self) -> None:
        has, wants = claim("a", 3.0, requests=30.0, has=3), claim("b", 3.0, requests=36.0, has=1)
        assert shared(4, has, wants) == {"a": 3, "b": 1}
        assert shared(4, has, claim("b", 3.0, requests=39.0, has=1)) == {"a": 1, "b": 3}

    def test_what_was_just_given_is_not_taken_for_more_elsewhere(self) -> None:
        young = claim("a", 3.0, requests=30.0, has=3, raised_s=NOW_S - 599)
        rich = claim("b", 3.0, requests=300.0, has=1)
        assert shared(4, young, rich) == {"a": 3, "b": 1}

    def test_but_it_is_for_somebodys_first(self) -> None:
        young = claim("a", 3.0, has=3, raised_s=NOW_S - 1)
        assert shared(3, young, cold("b")) == {"a": 2, "b": 1}

    def test_a_need_goes_before_a_wish(self) -> None:
        idle = claim("a", 1.0, wish=4, has=4)
        assert shared(5, idle, claim("b", 3.0, has=1)) == {"a": 2, "b": 3}

    def test_what_is_left_goes_to_who_has_it(self) -> None:
        assert shared(3, claim("a", 0.0, wish=2, has=2), claim("b", 1.0)) == {"a": 2, "b": 1}

    def test_an_expert_that_is_only_expected_to_need_one_gets_it_last(self) -> None:
        coming = claim("a", 2.0, requests=0.0, has=0, awake_since_s=0.0)
        assert shared(3, coming, claim("b", 2.0)) == {"a": 1, "b": 2}

    @given(claims(), st.floats(1, 30), st.floats(0, 4))
    def test_who_needs_more_does_not_get_less(
        self, all_claims: list[Claim], num_gpus: float, more: float
    ) -> None:
        # Of experts of one kind: else a smaller claim may fit where a larger does not.
        alike = [_like(each, need=each.need) for each in all_claims]
        before = allocate(alike, num_gpus, NOW_S, TURN_S)[alike[0].expert]
        hungrier = [_like(alike[0], need=alike[0].need + more), *alike[1:]]
        assert allocate(hungrier, num_gpus, NOW_S, TURN_S)[alike[0].expert] >= before


def _like(each: Claim, need: float) -> Claim:
    """Experts whose replicas are alike: ten requests and a GPU for each."""
    return claim(
        each.expert,
        need,
        has=each.has,
        waiting_since_s=each.waiting_since_s,
        awake_since_s=each.awake_since_s,
        raised_s=each.raised_s,
    )


@pytest.mark.parametrize(("granted", "saved"), [(0, 10.0), (1, 10.0), (2, 5.0), (3, 0.0)])
def test_a_replica_saves_the_requests_that_it_carries(granted: int, saved: float) -> None:
    assert claim("a", 2.5, has=0).saves(granted) == pytest.approx(saved)

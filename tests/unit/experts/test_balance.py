import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.experts.balance import BROKEN_FOR_S, Balancer, Replica


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


A, B, C = (Replica("10.0.0.1", port, 2) for port in (1, 2, 3))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def balancer(clock: Clock) -> Balancer:
    return Balancer(clock, random.Random(7))


def begin(balancer: Balancer, *replicas: Replica) -> None:
    for replica in replicas:
        balancer.began(replica.host, replica.port)


def end(balancer: Balancer, *replicas: Replica) -> None:
    for replica in replicas:
        balancer.ended(replica.host, replica.port)


def test_the_least_loaded_is_picked_wherever_it_stands(balancer: Balancer) -> None:
    begin(balancer, A, C, C)
    for order in ([A, B, C], [C, B, A], [B, A, C]):
        assert balancer.pick(order) == B
    assert balancer.pick([A, C]) == A


def test_ties_are_broken_at_random(balancer: Balancer) -> None:
    picked = Counter(balancer.pick([A, B, C]) for _ in range(300))
    assert set(picked) == {A, B, C}
    assert min(picked.values()) > 60


def test_the_same_seed_picks_the_same() -> None:
    one, other = (Balancer(Clock(), random.Random(3)) for _ in range(2))
    assert [one.pick([A, B, C]) for _ in range(20)] == [other.pick([A, B, C]) for _ in range(20)]


def test_a_full_one_is_skipped_until_a_request_ends(balancer: Balancer) -> None:
    begin(balancer, A, A)
    assert balancer.pick([A]) is None
    end(balancer, A)
    assert balancer.pick([A]) == A


def test_there_may_be_none(balancer: Balancer) -> None:
    assert balancer.pick([]) is None
    assert balancer.pick(iter(())) is None


def test_a_broken_one_is_passed_over_for_a_while(balancer: Balancer, clock: Clock) -> None:
    balancer.broke(A.host, A.port)
    begin(balancer, B)
    assert balancer.pick([A, B]) == B
    assert balancer.pick([A]) is None
    clock.now += BROKEN_FOR_S - 0.01
    assert balancer.pick([A]) is None
    clock.now += 0.01
    assert balancer.pick([A, B]) == A


def test_one_that_breaks_again_waits_again(balancer: Balancer, clock: Clock) -> None:
    balancer.broke(A.host, A.port)
    clock.now += BROKEN_FOR_S - 1
    balancer.broke(A.host, A.port)
    clock.now += BROKEN_FOR_S - 1
    assert balancer.pick([A]) is None


def test_replicas_on_one_host_or_one_port_are_not_mixed_up(balancer: Balancer) -> None:
    elsewhere = Replica("10.0.0.2", A.port, 2)
    balancer.broke(A.host, A.port)
    assert balancer.pick([A, elsewhere]) == elsewhere
    assert balancer.pick([A, B]) == B


def test_an_end_too_many_is_not_credit(balancer: Balancer) -> None:
    end(balancer, A, A, A)
    begin(balancer, A, A)
    assert balancer.pick([A]) is None


def test_what_is_idle_or_long_whole_again_is_forgotten(balancer: Balancer, clock: Clock) -> None:
    for port in range(1000):
        balancer.began("10.0.0.9", port)
        balancer.ended("10.0.0.9", port)
        balancer.broke("10.0.0.9", port)
        balancer.pick([Replica("10.0.0.9", port, 1)])
        clock.now += 1
    assert len(balancer._in_flight) == 0
    assert len(balancer._broken_until) <= BROKEN_FOR_S + 1


REPLICAS = [Replica("h", port, 1 + port % 3) for port in range(5)]
INDEX = st.integers(0, len(REPLICAS) - 1)
STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "end", "broke"]), INDEX)
    | st.tuples(st.just("wait"), st.floats(0, 2 * BROKEN_FOR_S)),
    max_size=60,
)


@given(STEPS, st.integers())
def test_the_pick_is_always_whole_and_has_room_and_the_fewest_requests(
    steps: list[tuple[str, float]], seed: int
) -> None:
    clock = Clock()
    balancer = Balancer(clock, random.Random(seed))
    in_flight: Counter[Replica] = Counter()
    broken_until = dict.fromkeys(REPLICAS, 0.0)
    for action, value in steps:
        if action == "wait":
            clock.now += value
        elif action == "end":
            replica = REPLICAS[int(value)]
            if in_flight[replica]:
                end(balancer, replica)
                in_flight[replica] -= 1
        elif action == "broke":
            balancer.broke("h", int(value))
            broken_until[REPLICAS[int(value)]] = clock.now + BROKEN_FOR_S
        open_ones = {
            replica: in_flight[replica]
            for replica in REPLICAS
            if broken_until[replica] <= clock.now and in_flight[replica] < replica.max_ongoing_requests
        }
        picked = balancer.pick(REPLICAS)
        if picked is None:
            assert open_ones == {}
            continue
        assert picked in open_ones
        assert open_ones[picked] == min(open_ones.values())
        if action == "send":
            begin(balancer, picked)
            in_flight[picked] += 1

"""The event queue and the pool of GPUs."""

from hypothesis import given
from hypothesis import strategies as st

from modem.simulation.events import ENGINE, LIFE, REPORT, TICK, Events
from modem.simulation.pool import GpuPool


def done(events: Events) -> list[object]:
    found: list[object] = []
    while events:
        t_s, _, _, action, argument = events.pop()
        action(t_s, argument)
        found.append(argument)
    return found


def nothing(t_s: float, argument: object) -> None:
    pass


def test_time_then_rank_then_order_of_scheduling() -> None:
    events = Events()
    for t_s, rank, name in (
        (2.0, ENGINE, "late"),
        (1.0, TICK, "tick"),
        (1.0, REPORT, "report"),
        (1.0, LIFE, "life"),
        (1.0, ENGINE, "engine a"),
        (1.0, ENGINE, "engine b"),
    ):
        events.at(t_s, rank, nothing, name)
    assert events.next_s() == 1.0
    assert done(events) == ["engine a", "engine b", "life", "report", "tick", "late"]


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 3)), max_size=40))
def test_everything_comes_out_in_order(items: list[tuple[float, int]]) -> None:
    events = Events()
    for item in items:
        events.at(*item, nothing, item)
    assert done(events) == sorted(items)


def test_gpus_are_given_in_turn_and_a_small_demand_may_pass() -> None:
    pool = GpuPool(4)
    got: list[tuple[object, float]] = []

    def placed(who: object, t_s: float) -> None:
        got.append((who, t_s))

    pool.ask("a", 3, 0.0, placed)
    pool.ask("b", 3, 1.0, placed)
    pool.ask("c", 1, 2.0, placed)
    assert got == [("a", 0.0), ("c", 2.0)]
    pool.give_back(3, 5.0)
    assert got[-1] == ("b", 5.0)
    assert pool.free == 0


def test_a_demand_can_be_withdrawn() -> None:
    pool = GpuPool(1)
    got: list[object] = []
    pool.ask("a", 1, 0.0, lambda who, _: got.append(who))
    pool.ask("b", 1, 0.0, lambda who, _: got.append(who))
    pool.withdraw("b")
    pool.give_back(1, 1.0)
    assert got == ["a"]
    assert pool.free == 1


def test_without_a_limit_everybody_gets_some() -> None:
    pool = GpuPool(None)
    got: list[object] = []
    for who in range(50):
        pool.ask(who, 8, 0.0, lambda who, _: got.append(who))
    assert got == list(range(50))

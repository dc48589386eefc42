import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.autoscaling.meter import NUM_READS, ReadSpeed, RecentMean, union_s
from modem.autoscaling.stats import PREFIX, ReplicaStats

times = st.floats(0, 1000)


class TestRecentMean:
    def test_nothing_seen_is_0(self) -> None:
        assert RecentMean().at(5) == 0

    def test_what_is_new_counts_more(self) -> None:
        mean = RecentMean()
        mean.add(0, 1.0)
        mean.add(60, 3.0)
        assert 2.7 < mean.at(60) < 3

    def test_several_at_once(self) -> None:
        mean = RecentMean()
        mean.add(10, 12.0, 4)
        assert mean.at(10) == 3

    def test_what_is_long_ago_is_forgotten(self) -> None:
        mean = RecentMean()
        mean.add(0, 1.0)
        assert mean.at(80) == pytest.approx(1)
        assert mean.at(100) == 0

    @given(st.lists(st.tuples(times, st.floats(0.01, 10)), min_size=1))
    def test_it_lies_between_the_least_and_the_most(self, seen: list[tuple[float, float]]) -> None:
        mean = RecentMean()
        for at_s, value in sorted(seen):
            mean.add(at_s, value)
        values = [value for _, value in seen]
        assert min(values) - 1e-9 <= mean.at(max(at_s for at_s, _ in seen)) <= max(values) + 1e-9


class TestReadSpeed:
    def test_nothing_read_is_0(self) -> None:
        assert ReadSpeed().tokens_per_s == 0

    def test_one_after_the_other(self) -> None:
        speed = ReadSpeed()
        speed.add(0, 1, 500)
        speed.add(5, 6, 1500)
        assert speed.tokens_per_s == 1000

    def test_side_by_side(self) -> None:
        speed = ReadSpeed()
        for _ in range(4):
            speed.add(0, 2, 500)
        assert speed.tokens_per_s == 1000

    def test_what_took_no_time_or_had_no_tokens_says_nothing(self) -> None:
        speed = ReadSpeed()
        speed.add(1, 1, 500)
        speed.add(1, 2, 0)
        assert speed.tokens_per_s == 0

    def test_only_the_last_count(self) -> None:
        speed = ReadSpeed()
        speed.add(0, 1, 1)
        for i in range(NUM_READS):
            speed.add(10 + i, 11 + i, 700)
        assert speed.tokens_per_s == pytest.approx(700)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20))))
def test_the_union_is_counted_second_by_second(raw: list[tuple[int, int]]) -> None:
    intervals = [(begin, begin + length) for begin, length in raw]
    seconds = {second for begin, end in intervals for second in range(begin, end)}
    assert union_s([(float(a), float(b)) for a, b in intervals]) == len(seconds)


class TestStats:
    def test_come_back_from_metrics(self) -> None:
        stats = ReplicaStats(running_requests=3, kv_capacity_tokens=1e5, itl_s=0.02)
        assert ReplicaStats.from_metrics(stats.to_metrics()) == stats

    def test_are_flat_prefixed_floats(self) -> None:
        metrics = ReplicaStats(running_requests=3).to_metrics()
        assert all(name.startswith(PREFIX) and type(value) is float for name, value in metrics.items())

    def test_what_is_missing_is_0_and_what_is_foreign_is_left_alone(self) -> None:
        assert ReplicaStats.from_metrics({"modem_ttft_s": 1, "other": 2}) == ReplicaStats(ttft_s=1)

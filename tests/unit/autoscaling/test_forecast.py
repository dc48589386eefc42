import importlib.util
import math
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.autoscaling.base import Decision, ExpertLoad
from modem.autoscaling.catalogue import build
from modem.autoscaling.forecast import Forecast, ForecastParams, ForecastState
from modem.autoscaling.schedule import Floor, floor_at
from modem.autoscaling.seasonal import MAX_BUCKETS, MIN_BUCKETS, Outlook, Series
from modem.autoscaling.stats import ReplicaStats
from modem.errors import ConfigError
from tests.unit.autoscaling.world import load

HOUR = 3600.0


def series_of(means: list[float], bucket_s: float = 300) -> Series:
    return Series(bucket_s, len(means) * bucket_s, means=tuple(means))


class TestSeries:
    def test_means_of_buckets(self) -> None:
        series = Series(10, 0.0)
        for at_s, value in [(0, 1.0), (5, 3.0), (10, 4.0), (19, 6.0), (20, 9.0)]:
            series = series.note(at_s, value)
        assert series.means == (2.0, 5.0)
        assert (series.from_s, series.total, series.count) == (20, 9.0, 1)

    def test_a_gap_repeats_what_was_before(self) -> None:
        series = Series(10, 0.0).note(0, 3.0).note(45, 7.0)
        assert series.means == (3.0, 3.0, 3.0, 3.0)
        assert series.from_s == 40

    @given(st.lists(st.floats(0.1, 1e6), max_size=30))
    def test_it_never_grows_beyond_its_bound(self, steps: list[float]) -> None:
        series, now_s = Series(10, 0.0), 0.0
        for step_s in steps:
            now_s += step_s
            series = series.note(now_s, 1.0)
        assert len(series.means) <= MAX_BUCKETS
        assert series.from_s <= now_s < series.from_s + 10 + 1e-6


class TestOutlook:
    def test_too_little_gives_none(self) -> None:
        assert series_of([1.0] * (MIN_BUCKETS - 1)).outlook(86400, 600) is None

    def test_a_steady_load_stays(self) -> None:
        outlook = series_of([7.0] * 50).outlook(86400, 600)
        assert outlook is not None
        assert outlook.at(50 * 300 + 600) == pytest.approx(7, abs=0.01)

    def test_a_trend_goes_on_and_fades(self) -> None:
        outlook = series_of([10.0 + i for i in range(40)]).outlook(86400, 3600)
        assert outlook is not None
        soon, later = outlook.at(40 * 300 + 450), outlook.at(40 * 300 + 3600)
        assert 49 < soon < 53
        assert soon < later < 62

    def test_a_season_that_was_seen_twice_comes_again(self) -> None:
        period = 24  # an hour each, of a day
        means = [20 + 15 * math.sin(2 * math.pi * i / period) for i in range(3 * period)]
        outlook = series_of(means, HOUR).outlook(24 * HOUR, 6 * HOUR)
        assert outlook is not None
        assert outlook.at((72 + 6.5) * HOUR) == pytest.approx(35, abs=1)  # the peak, six hours on

    def test_a_season_that_was_seen_once_does_not(self) -> None:
        means = [20 + 15 * math.sin(2 * math.pi * i / 24) for i in range(40)]
        outlook = series_of(means, HOUR).outlook(24 * HOUR, 6 * HOUR)
        assert outlook is not None
        assert len(outlook.path) >= 7

    def test_a_week_of_five_minutes_can_be_fitted(self) -> None:
        means = [20 + 15 * math.sin(2 * math.pi * i / 288) for i in range(MAX_BUCKETS)]
        assert series_of(means).outlook(86400, 600) is not None

    @given(at_s=st.floats(-1e4, 1e5))
    def test_between_the_points_it_is_straight_and_beyond_them_flat(self, at_s: float) -> None:
        outlook = Outlook(150.0, 300.0, (1.0, 3.0, 2.0), 0.0)
        assert 1.0 <= outlook.at(at_s) <= 3.0
        assert outlook.at(300.0) == pytest.approx(2.0)
        assert (outlook.at(0.0), outlook.at(1e6)) == (1.0, 2.0)

    def test_without_the_library_the_policy_cannot_be_built(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigError, match=r"pip install 'modem\[forecast\]'"):
            ForecastParams().build()


class TestFloors:
    OFFICE = Floor(from_time="08:00", to_time="18:00", days=("mon", "tue"), replicas=3)
    NIGHT = Floor(from_time="22:00", to_time="06:00", days=("fri",), replicas=2)

    @pytest.mark.parametrize(
        ("at", "replicas"),
        [
            ("2026-11-23T08:00", 3),  # a Monday
            ("2026-11-23T17:59", 3),
            ("2026-11-23T18:00", 0),
            ("2026-11-23T07:59", 0),
            ("2026-11-25T12:00", 0),
            ("2026-11-27T23:00", 2),  # a Friday
            ("2026-11-28T05:59", 2),  # the morning after it
            ("2026-11-28T06:00", 0),
            ("2026-11-28T23:00", 0),
            ("2026-11-27T05:00", 0),
        ],
    )
    def test_hold_by_the_clock(self, at: str, replicas: int) -> None:
        at_s = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
        assert floor_at(at_s, (self.OFFICE, self.NIGHT), "Europe/Berlin") == replicas

    def test_the_highest_counts(self) -> None:
        more = Floor(from_time="09:00", to_time="10:00", replicas=5)
        at_s = datetime.fromisoformat("2026-11-23T09:30").replace(tzinfo=ZoneInfo("UTC")).timestamp()
        assert floor_at(at_s, (self.OFFICE, more), "UTC") == 5

    def test_none_is_none(self) -> None:
        assert floor_at(0.0, (), "UTC") == 0

    @pytest.mark.parametrize(
        ("floor", "words"),
        [
            ({"from_time": "08:00", "to_time": "08:00"}, "would never hold"),
            ({"from_time": "8:00", "to_time": "09:00"}, "pattern"),
            ({"from_time": "08:00", "to_time": "24:00"}, "pattern"),
            ({"from_time": "08:00", "to_time": "09:00", "days": []}, "would never hold"),
            ({"from_time": "08:00", "to_time": "09:00", "days": ["monday"]}, "mon"),
            ({"from_time": "08:00", "to_time": "09:00", "replicas": 0}, "greater than or equal to 1"),
        ],
    )
    def test_nonsense_is_refused(self, floor: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            build("Forecast", {"floors": [{"replicas": 1, **floor}]})


def forecast(**params: Any) -> Forecast:
    return Forecast(ForecastParams.model_validate({"policy": {"kind": "ongoing_requests"}, **params}))


def expected(path: tuple[float, ...], error: float = 0.0, **changes: Any) -> ForecastState:
    """A state whose outlook begins now, in steps of 100 s."""
    state = forecast(bucket_s=1000).decide(load(**changes), None).state
    return ForecastState(
        state.inner, state.profile, state.needs, state.series, Outlook(1000, 100, path, error)
    )


ASLEEP: dict[str, Any] = {"running_replicas": 0, "target_replicas": 0, "ongoing_requests": 0.0}


class TestForecast:
    def decided(
        self,
        path: tuple[float, ...],
        error: float = 0.0,
        params: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Decision[ForecastState]:
        settings = {"bucket_s": 1000, "startup_s": 100, **(params or {})}
        return forecast(**settings).decide(load(**changes), expected(path, error, **changes))

    def test_without_an_outlook_it_is_the_policy_within(self) -> None:
        decision = forecast().decide(load(ongoing_requests=20), None)
        assert (decision.need, decision.reason) == (2.5, "requests")

    def test_a_rise_that_is_expected_is_met_now(self) -> None:
        decision = self.decided((20.0, 36.0, 50.0), ongoing_requests=24.0)
        assert (decision.need, decision.reason) == (5.0, "forecast")

    def test_how_far_it_looks_is_how_long_a_start_takes(self) -> None:
        decision = self.decided((20.0, 36.0, 40.0), params={"startup_s": 200}, ongoing_requests=24.0)
        assert decision.need == 5.5
        measured = (ReplicaStats(startup_s=150),)
        path = (20.0, 36.0, 40.0)
        decision = self.decided(path, params={"startup_s": None}, ongoing_requests=24.0, stats=measured)
        assert decision.need == 5.25

    def test_a_rise_within_the_usual_error_is_none(self) -> None:
        assert self.decided((20.0, 36.0), error=16.0, ongoing_requests=24.0).reason == "requests"
        assert self.decided((20.0, 36.0), error=8.0, ongoing_requests=24.0).need == 4.0

    def test_a_fall_takes_nothing_away(self) -> None:
        assert self.decided((40.0, 10.0), ongoing_requests=24.0).need == 3.0

    def test_no_further_than_the_bound(self) -> None:
        assert self.decided((20.0, 500.0), ongoing_requests=24.0).need == 6.0

    def test_tokens_grow_with_the_requests(self) -> None:
        stats = ReplicaStats(running_requests=12, context_tokens=16_000, kv_capacity_tokens=10_000)
        changes: dict[str, Any] = {
            "params": {"policy": {"kind": "token_load"}},
            "ongoing_requests": 24.0,
            "stats": (stats,) * 2,
        }
        now, then = self.decided((20.0, 20.0), **changes), self.decided((20.0, 32.0), **changes)
        assert (now.need, now.reason) == (4.0, "kv")
        assert (then.need, then.reason) == (6.0, "forecast")

    def test_a_sleeping_expert_is_woken_in_advance(self) -> None:
        decision = self.decided((0.0, 20.0), **ASLEEP)
        assert (decision.num_replicas, decision.reason) == (3, "forecast")

    def test_not_for_a_trifle(self) -> None:
        assert self.decided((0.0, 0.4), **ASLEEP).num_replicas == 0

    def test_one_that_idles_is_kept_awake(self) -> None:
        idle: dict[str, Any] = {"running_replicas": 1, "target_replicas": 1, "ongoing_requests": 0.0}
        assert self.decided((0.0, 20.0), **idle).num_replicas == 1
        assert self.decided((0.0, 0.4), **idle).num_replicas == 0

    def test_a_floor_begins_early_enough_for_replicas_to_be_up(self) -> None:
        floors = [{"from_time": "00:20", "to_time": "01:00", "replicas": 4}]
        asleep = {**ASLEEP, "now_s": 1000.0}
        early = forecast(floors=floors, startup_s=199).decide(load(**asleep), None)
        in_time = forecast(floors=floors, startup_s=200).decide(load(**asleep), None)
        assert (early.num_replicas, early.reason) == (0, "starting")
        assert (in_time.num_replicas, in_time.reason) == (4, "floor")

    def test_a_floor_keeps_within_the_bounds(self) -> None:
        floors = [{"from_time": "00:00", "to_time": "23:59", "replicas": 40}]
        assert forecast(floors=floors).decide(load(), None).num_replicas == 10

    @pytest.mark.parametrize("floor", [1, 2, 5])
    def test_after_a_rush_it_goes_back_to_the_floor_itself(self, floor: int) -> None:
        floors = [{"from_time": "00:00", "to_time": "23:59", "replicas": floor}]
        policy = forecast(floors=floors, hold_s=60)
        state: ForecastState | None = None
        for now_s in range(1000, 1100):
            idle = load(
                now_s=float(now_s),
                target_replicas=floor + 1,
                running_replicas=floor + 1,
                ongoing_requests=0.0,
            )
            decision = policy.decide(idle, state)
            state = decision.state
        assert (decision.num_replicas, decision.need, decision.reason) == (floor, floor, "floor")

    def test_the_state_of_the_policy_within_is_that_of_the_real_load(self) -> None:
        stats = ReplicaStats(running_requests=2, context_tokens=1000, kv_capacity_tokens=10_000)
        decision = self.decided(
            (20.0, 44.0), params={"policy": {"kind": "token_load"}}, ongoing_requests=24.0, stats=(stats,)
        )
        assert decision.state.inner.needs.highest == 3.0


def test_it_learns_a_day_and_is_early_on_the_fourth() -> None:
    """Every day at noon the load jumps from 4 to 40 requests for two hours."""
    policy = forecast(bucket_s=1800, startup_s=900, certainty=0.5, max_growth=20)
    state: ForecastState | None = None
    early = 0

    def at(now_s: float) -> ExpertLoad:
        hour = now_s / HOUR % 24
        return load(now_s=now_s, ongoing_requests=40.0 if 12 <= hour < 14 else 4.0)

    for minute in range(4 * 24 * 60):
        decision = policy.decide(at(minute * 60.0), state)
        state = decision.state
        before_noon = 4 * 24 * 60 - 12 * 60 - 15 <= minute < 4 * 24 * 60 - 12 * 60
        early += before_noon and decision.reason == "forecast"
    assert early > 5

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.serve_config.schema import AutoscalingConfig
from modem.simulation.control import Sample, Series
from modem.simulation.reports import HandleReporter, ReplicaReporter, prune
from modem.simulation.rhythm import Beat, Rhythm

RHYTHM = Rhythm(record_s=1.0, send_s=2.0, keep_s=5.0)


def pairs(series: Series) -> list[tuple[float, float]]:
    return [(sample.timestamp, sample.value) for sample in series]


def test_the_rhythm_is_serves() -> None:
    assert Rhythm.of(AutoscalingConfig(metrics_interval_s=10, look_back_period_s=30)) == Rhythm(6, 10, 30)
    assert Rhythm.of(AutoscalingConfig(metrics_interval_s=1, look_back_period_s=30)) == Rhythm(1, 1, 30)


def test_pruning_keeps_what_is_younger() -> None:
    series = [Sample(t, t) for t in (1.0, 2.0, 3.0)]
    prune(series, 7.0, 5.0)
    assert pairs(series) == [(3, 3)]


def test_a_handle_records_before_it_sends() -> None:
    handle = HandleReporter("h", "gateway", RHYTHM, 0.0, 100.0, None)
    handle.num_queued = 3
    handle.record(0.0)
    handle.num_queued = 1
    handle.record(1.0)
    report = handle.report(1.5)
    assert (report.handle_id, report.actor_id, report.sent_s) == ("h", "gateway", 101.5)
    assert pairs(report.queued) == [(100, 3), (101, 1)]
    assert report.running == {}


def test_a_new_handle_tells_what_it_has_now() -> None:
    handle = HandleReporter("h", "gateway", RHYTHM, 0.0, 0.0, None)
    handle.num_queued = 2
    assert pairs(handle.report(3.0).queued) == [(3, 2)]


def test_a_report_does_not_change_afterwards() -> None:
    handle = HandleReporter("h", "gateway", RHYTHM, 0.0, 0.0, None)
    handle.record(0.0)
    report = handle.report(0.0)
    handle.record(1.0)
    assert pairs(report.queued) == [(0, 0)]


def test_a_handle_counts_what_runs_where_replicas_do_not() -> None:
    handle = HandleReporter("h", "gateway", RHYTHM, 0.0, 0.0, {})
    handle.began("r0")
    handle.began("r0")
    handle.record(0.0)
    handle.began("r1")
    report = handle.report(0.5)
    assert {name: pairs(series) for name, series in report.running.items()} == {
        "r0": [(0, 2)],
        "r1": [(0.5, 1)],
    }
    for _ in range(2):
        handle.ended("r0")
    handle.keep_replicas(["r1"])
    assert list(handle.report(0.6).running) == ["r1"]


def test_a_handle_is_silent_when_all_it_knows_is_zero() -> None:
    handle = HandleReporter("h", "gateway", RHYTHM, 0.0, 0.0, None)
    handle.record(0.0)
    assert handle.is_silent()
    handle.num_queued = 1
    handle.record(1.0)
    handle.num_queued = 0
    handle.record(2.0)
    assert not handle.is_silent()


def stepped(rhythm: Rhythm, begin_s: float, now_s: float) -> tuple[list[float], float, Beat]:
    """Return what `Beat.skip_to` leaves out, by going through all of it."""
    beat = Beat(rhythm, begin_s)
    records, last_s = [], -inf
    while beat.record_at_s < now_s:
        records.append(beat.record_at_s)
        beat.recorded()
    while beat.send_at_s < now_s:
        last_s = beat.send_at_s
        beat.sent()
    return records, last_s, beat


@given(st.floats(0.1, 2), st.floats(1, 3), st.floats(0, 5), st.floats(0, 200))
def test_skipping_is_stepping(record_share: float, send_s: float, begin_s: float, now_s: float) -> None:
    rhythm = Rhythm(min(record_share, send_s), send_s, 5.0)
    records, last_s, slow = stepped(rhythm, begin_s, now_s)
    beat = Beat(rhythm, begin_s)
    skipped, sent_s = beat.skip_to(now_s)
    assert sent_s == last_s
    assert (beat.record_at_s, beat.send_at_s, beat.next_s) == (slow.record_at_s, slow.send_at_s, slow.next_s)
    oldest_s = max(last_s, 0.0) - rhythm.keep_s
    assert [t for t in skipped if t > oldest_s] == [t for t in records if t > oldest_s]


def test_a_handle_that_wakes_has_the_zeros_it_would_have_recorded() -> None:
    handle = HandleReporter("h", "gateway", RHYTHM, 0.5, 0.0, None)
    handle.dormant = True
    handle.wake(60.0)
    assert pairs(handle.report(60.0).queued) == [(55.5, 0), (56.5, 0), (57.5, 0), (58.5, 0), (59.5, 0)]
    assert handle.beat.next_s == 60.5
    assert not handle.dormant


def test_a_replica_sends_before_it_records() -> None:
    replica = ReplicaReporter("r", RHYTHM, 0.0, 10.0, None, (), counts=True)
    assert replica.report(0.0).ongoing == []
    replica.record(0.0, 4)
    replica.record(1.0, 6)
    report = replica.report(2.0)
    assert report.replica_id == "r"
    assert pairs(report.ongoing) == [(10, 4), (11, 6)]
    assert report.stats == {}


def test_a_replica_publishes_its_stats() -> None:
    replica = ReplicaReporter("r", RHYTHM, 0.0, 0.0, lambda t: (t, 2 * t), ("a", "b"), counts=False)
    for t_s in (1.0, 2.0, 7.0):
        replica.record(t_s, 9)
    report = replica.report(7.0)
    assert report.ongoing == []
    assert {name: pairs(series) for name, series in report.stats.items()} == {"a": [(7, 7)], "b": [(7, 14)]}


def test_a_replica_that_begins_to_run_has_told_zeros_before() -> None:
    replica = ReplicaReporter("r", RHYTHM, 0.5, 0.0, None, (), counts=True)
    last = replica.start(60.0)
    assert last is not None
    assert last.sent_s == 58.5
    assert pairs(last.ongoing) == [(54.5, 0), (55.5, 0), (56.5, 0), (57.5, 0)]
    assert replica.beat.next_s == 60.5
    replica.record(60.5, 2)
    assert pairs(replica.report(60.5).ongoing)[-2:] == [(59.5, 0), (60.5, 2)]


def test_a_replica_that_has_only_begun_has_told_nothing() -> None:
    assert ReplicaReporter("r", RHYTHM, 5.0, 0.0, None, (), counts=True).start(5.0) is None


@pytest.mark.parametrize("counts", [True, False])
def test_before_it_runs_a_replica_publishes_no_stats(counts: bool) -> None:
    replica = ReplicaReporter("r", RHYTHM, 0.0, 0.0, lambda _: (1.0,), ("a",), counts)
    last = replica.start(20.0)
    assert last is not None
    assert last.stats == {}

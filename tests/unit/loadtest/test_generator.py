"""A load generator against a simulated expert: everything planned is sent, recorded and reported."""

import gc
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import gevent
import pytest

from loadtest import generator as module
from loadtest.generator import Generator
from modem.errors import ConfigError
from modem.load.record import Record
from modem.load.scenario import Scenario
from tests.unit.loadtest.plans import scenario, simulated_expert


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulated_expert() as found:
        yield found


@pytest.fixture(autouse=True)
def _gc_as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Reports:
    """What generators emit."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.records: list[Record] = []
        self.samples: list[bytes] = []
        self.announced: dict[int, int] = {}

    def sent(self) -> int:
        """Requests sent so far, by the last sample."""
        return int(json.loads(self.samples[-1])["num_sent"]) if self.samples else 0

    def emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.kinds.append(kind)
        if kind == "records":
            lines = fields["lines"].splitlines()
            assert len(lines) == fields["num"]
            self.records += map(Record.from_json, lines)
        elif kind == "sample":
            self.samples.append(fields["line"])
        else:
            self.announced[fields["worker"]] = fields["num"]


def run(found: Scenario, url: str, num_workers: int = 1, enough: int | None = None) -> Reports:
    """Run a scenario to its end, or until there are enough records."""
    reports = Reports()
    counted: list[Record] = []

    def count(record: Record) -> None:
        counted.append(record)
        if len(counted) == enough:
            for worker in workers:
                worker.stop()

    workers = [
        Generator(found, url, number, num_workers, "run", reports.emit, count)
        for number in range(num_workers)
    ]
    for worker in workers:
        worker.start(time.time() + 0.05)
    users = [gevent.spawn(w.closed_loop.be_user) for w in workers if w.closed_loop for _ in range(3)]
    for worker in workers:
        worker.over.wait(90)
        assert worker.over.is_set()
    gevent.joinall(users, 5)
    assert all(user.ready() for user in users)
    assert Counter(record.worker for record in counted) == Counter(r.worker for r in reports.records)
    return reports


@pytest.mark.parametrize("num_workers", [1, 3])
def test_all_that_is_planned_is_sent_and_reported(url: str, num_workers: int) -> None:
    reports = run(scenario(), url, num_workers)
    indices = sorted(record.index for record in reports.records)
    assert indices == list(range(len(indices)))
    assert len(indices) > 10
    assert {record.outcome for record in reports.records} == {"ok"}
    assert {record.worker for record in reports.records} == set(range(num_workers))
    assert all(record.worker == record.index % num_workers for record in reports.records)
    assert sum(reports.announced.values()) == len(indices)
    assert reports.kinds[-1] == "done"
    assert b'"sent":{"math":' in reports.samples[-1]


def test_workers_share_the_requests_of_one(url: str) -> None:
    def sent(num_workers: int) -> list[tuple[int, float, str | None, int | None]]:
        found = run(scenario(output_tokens={"median": 4, "sigma": 0.5, "max": 9}), url, num_workers)
        return sorted((r.index, r.intended_s, r.domain, r.output_tokens) for r in found.records)

    assert sent(1) == sent(2)


def test_each_request_has_its_times_and_its_id(url: str) -> None:
    for record in run(scenario(streaming_share=0.5), url).records:
        assert record.sent_s >= record.intended_s - 1e-5
        assert record.request_id == f"run-{record.index}-0"
        assert record.output_tokens == 5
        assert (record.num_chunks, len(record.itl_s)) == ((5, 4) if record.stream else (0, 0))


def test_the_turns_of_a_session_wait_for_each_other_and_carry_the_history(url: str) -> None:
    sessions = {"turns": [3, 3], "think_s": 0.02}
    records = run(scenario(rate=5.0, sessions=sessions), url).records
    by_index: dict[int, list[Record]] = {}
    for record in records:
        by_index.setdefault(record.index, []).append(record)
    for turns in by_index.values():
        assert [record.turn for record in turns] == [0, 1, 2]
        assert turns[0].session
        for before, after in pairwise(turns):
            assert after.intended_s >= before.end_s - 1e-5
            assert after.sent_s >= after.intended_s - 1e-5
            assert before.prompt_tokens is not None
            assert before.output_tokens is not None
            assert after.prompt_tokens is not None
            assert after.prompt_tokens > before.prompt_tokens + before.output_tokens


def test_a_session_ends_with_its_first_failure(url: str) -> None:
    wrong = scenario(rate=5.0, sessions={"turns": [2, 2], "think_s": 0}, mix="other=1")  # not served there
    records = run(wrong, url).records
    assert {(record.turn, record.outcome, record.status) for record in records} == {(0, "client_error", 404)}


def test_a_closed_loop_never_has_more_in_flight_than_users(url: str) -> None:
    records = run(scenario(rate=None, users=3, duration_s=60), url, enough=20).records
    assert {record.outcome for record in records} == {"ok"}
    assert len({record.index for record in records}) == len(records) >= 20
    for record in records:
        at_once = [r for r in records if r.sent_s < record.end_s and record.sent_s < r.end_s]
        assert len({r.index % 3 for r in at_once}) <= 3
    for seat in range(3):
        own = sorted((r for r in records if r.index % 3 == seat), key=lambda r: r.index)
        assert all(a.end_s <= b.sent_s + 1e-5 for a, b in pairwise(own))
        # Meant for when the user came to it.
        assert all(a.end_s <= b.intended_s + 1e-5 for a, b in pairwise(own))


def test_what_is_not_answered_in_time_is_aborted_and_recorded() -> None:
    with simulated_expert(ttft_s=30) as slow:
        records = run(scenario(duration_s=0.3, drain_s=0.2), slow).records
    assert records
    assert {record.outcome for record in records} == {"aborted"}
    assert all(record.first_content_s is None for record in records)


def test_a_server_that_is_down_is_a_record_each() -> None:
    with simulated_expert() as gone:
        pass
    records = run(scenario(duration_s=0.5), gone).records
    assert {(record.outcome, record.status) for record in records} == {("no_connection", None)}


@pytest.mark.parametrize("abort", [True, False])
def test_a_stop_sends_no_more_and_loses_nothing(abort: bool) -> None:
    reports = Reports()
    with simulated_expert(ttft_s=30 if abort else 0.5) as slow:
        found = Generator(scenario(duration_s=30.0), slow, 0, 1, "run", reports.emit, lambda _: None)
        assert not found.started
        found.start(time.time())
        while not reports.sent():
            gevent.sleep(0.05)
        found.stop(abort=abort)
        assert found.over.wait(30)
    assert found.num_planned is not None
    assert 0 < len(reports.records) < found.num_planned
    assert reports.announced == {0: len(reports.records)}
    assert {record.outcome for record in reports.records} == {"aborted" if abort else "ok"}


def test_the_collector_is_told_to_leave_the_run_alone(url: str) -> None:
    run(scenario(duration_s=0.2), url)
    assert gc.get_threshold() == module.GC_THRESHOLDS
    assert gc.get_freeze_count() > 10_000


def test_a_plan_that_cannot_be_made_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        Generator(scenario(prompts="/none.jsonl"), url, 0, 1, "run", lambda *_: None, lambda _: None)

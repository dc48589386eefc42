"""Whether the client measured the server or itself."""

from pathlib import Path
from typing import Any

import pytest

from modem.load.certificate import Certificate, certify
from modem.load.record import Record
from tests.unit.load.runs import client_lines, info, make_run, record


def certified(folder: Path, rows: list[Record], **files: Any) -> Certificate:
    return certify(make_run(folder, rows, **files))


def rows(number: int = 200, num_late: int = 0, late_s: float = 0.1) -> list[Record]:
    return [record(n, at_s=n / 20, late_s=late_s if n < num_late else 0.001) for n in range(number)]


def test_a_client_that_kept_up_is_certified(tmp_path: Path) -> None:
    found = certified(tmp_path, rows())
    assert found.ok
    assert found.reasons == ()
    assert found.lateness.p99_s == pytest.approx(0.001)
    assert (found.lateness.num_late, found.lateness.late, found.lateness.num_never_sent) == (0, (), 0)
    assert found.stalled_share == 0
    assert found.cpu_share == pytest.approx(0.2)
    assert found.lag_mean_s == pytest.approx(0.0003)


def test_sends_that_are_late_refuse_it(tmp_path: Path) -> None:
    found = certified(tmp_path, rows(num_late=12))
    assert found.reasons == ("sent too late: 1 % of the requests by more than 100 ms (allowed: 20 ms)",)
    assert found.lateness.num_late == 12
    assert found.lateness.late == tuple(range(12))
    assert found.lateness.worst_s == pytest.approx(0.1)


def test_a_single_late_send_is_told_and_forgiven(tmp_path: Path) -> None:
    found = certified(tmp_path, rows(num_late=1))
    assert found.ok
    assert found.lateness.late == (0,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lag_max_s": 0.025}, "worker 0: its event loop stalled: 1.5 % of all moments"),
        ({"lag_mean_s": 0.006}, "worker 0: its event loop lagged 6.0 ms (allowed: 5 ms)"),
        ({"cpu_share": 0.95}, "worker 0: 10 of 10 seconds with more than 0.9 of a core; use more workers"),
    ],
)
def test_a_busy_client_refuses_it(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    found = certified(tmp_path, rows(), client=client_lines(10, **change))
    assert not found.ok
    assert len(found.reasons) == 1
    assert says in found.reasons[0]


@pytest.mark.parametrize("change", [{"lag_max_s": 0.1}, {"cpu_share": 1.0}])
def test_one_bad_second_of_sixty_does_no_harm(tmp_path: Path, change: dict[str, Any]) -> None:
    assert certified(tmp_path, rows(), client=[*client_lines(59), *client_lines(1, **change)]).ok


def test_a_stall_that_can_be_a_99th_percentile_does(tmp_path: Path) -> None:
    bad = [*client_lines(59), *client_lines(1, lag_max_s=0.7)]
    assert not certified(tmp_path, rows(), client=bad).ok


def test_the_worst_worker_counts(tmp_path: Path) -> None:
    lines = [*client_lines(10), *client_lines(10, worker=1, cpu_share=0.99)]
    found = certified(tmp_path, rows(), client=lines)
    assert found.cpu_share == pytest.approx(0.99)
    assert found.reasons == ("worker 1: 10 of 10 seconds with more than 0.9 of a core; use more workers",)


def test_a_worker_that_told_nothing_is_not_trusted(tmp_path: Path) -> None:
    mixed = [*rows(), record(200, worker=7, at_s=9.9)]
    assert certified(tmp_path, mixed).reasons == ("no samples of the client's own lag from worker 7",)
    found = certified(tmp_path / "none", rows(), client=[])
    assert not found.ok
    assert found.stalled_share is found.cpu_share is found.lag_mean_s is None


def test_what_was_never_sent_refuses_it(tmp_path: Path) -> None:
    lost = certified(tmp_path / "lost", rows(), run=info(203))
    assert lost.lateness.num_never_sent == 3
    assert lost.reasons == ("3 planned requests were never sent, or their records were lost",)
    holes = [row for row in rows() if row.index not in (5, 6)]
    assert (
        certified(tmp_path / "holes", holes, run=info(900, ended="interrupted")).lateness.num_never_sent == 2
    )
    cut = certified(tmp_path / "cut", rows(), run=info(900, ended="stopped: goodput fell"))
    assert cut.ok
    assert cut.lateness.num_never_sent == 0


def test_a_closed_loop_has_no_plan_to_miss(tmp_path: Path) -> None:
    found = certified(tmp_path, rows(), run=info(100_000, {"loop": "closed"}))
    assert found.ok
    assert found.lateness.num_never_sent is None


def test_two_runs_in_one_folder_are_found(tmp_path: Path) -> None:
    found = certified(tmp_path, [*rows(), *rows(3)], run=info(200))
    assert found.reasons == ("3 requests are recorded twice: did two runs write into one folder?",)


def test_turns_of_a_session_are_not_twice_the_same(tmp_path: Path) -> None:
    assert certified(tmp_path, [record(0, session="s"), record(0, turn=1, session="s", at_s=3.0)]).ok

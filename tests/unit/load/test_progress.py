"""How a run stands, read off its files while they grow."""

import json
from pathlib import Path
from typing import Any

import pytest

from modem.cli.load_live import line, table
from modem.load.folder import CLIENT, CLUSTER, REQUESTS
from modem.load.progress import Progress, Tail
from tests.unit.load.records import record


def append(folder: Path, name: str, *rows: dict[str, Any] | bytes) -> None:
    with (folder / name).open("ab") as file:
        for row in rows:
            file.write((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n")


def sample(worker: int, t_s: float, **sent: int) -> dict[str, Any]:
    return {
        "worker": worker,
        "t_s": t_s,
        "lag_max_s": 0.001 * (worker + 1),
        "lag_mean_s": 0.0,
        "cpu_share": 0.5,
        "late_max_s": 0.002,
        "sent": sent,
        "x": 1,
    }


def cells(progress: Progress) -> dict[str, list[str]]:
    columns = [list(column.cells) for column in table(progress, "run").columns]
    return {str(row[0]): [str(cell) for cell in row[1:]] for row in zip(*columns, strict=True)}


def test_a_tail_gives_each_line_once_and_never_half_of_one(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "file")
    assert tail.lines() == []
    (tmp_path / "file").write_bytes(b"a\nb\nhal")
    assert tail.lines() == [b"a", b"b"]
    assert tail.lines() == []
    (tmp_path / "file").write_bytes(b"a\nb\nhalf\n")
    assert tail.lines() == [b"half"]


def test_nothing_yet(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.look()
    assert progress.rows == {}
    assert cells(progress) == {}


def test_rows_grow_with_the_files(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    append(tmp_path, CLIENT, sample(0, 1.0, math=3), sample(1, 1.1, math=2, other=1))
    append(tmp_path, REQUESTS, record().to_json(), record(outcome="rate_limited", status=429).to_json())
    append(tmp_path, CLUSTER, {"t_s": 0, "domain": "math", "state": "ready", "replicas": 2, "running": 1})
    progress.look()
    math = progress.rows["math"]
    assert (math.num_sent, math.num_ended, math.num_in_flight, math.replicas) == (5, 2, 3, 2)
    append(tmp_path, CLIENT, sample(0, 2.0, math=4))
    append(tmp_path, REQUESTS, record(routed="other", reason="low_confidence").to_json())
    progress.look()
    assert (math.num_sent, math.num_ended, math.num_misrouted) == (6, 3, 1)
    assert progress.now_s == 2.0
    assert math.ttft_percentile_s(50) == pytest.approx(0.5)


def test_failures_have_no_latency(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    append(tmp_path, REQUESTS, record(outcome="broken_stream").to_json())
    progress.look()
    assert progress.rows["math"].ttft_percentile_s(99) is None
    assert cells(progress)["math"][5:7] == ["", ""]


def test_tokens_a_second_are_those_of_late(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    append(tmp_path, REQUESTS, record(end_s=5.0, output_tokens=100).to_json())
    append(tmp_path, REQUESTS, record(end_s=19.0, output_tokens=50).to_json())
    progress.look()
    row = progress.rows["math"]
    assert row.tokens_per_s(10.0) == pytest.approx(15.0)
    assert row.tokens_per_s(20.0) == pytest.approx(5.0)


def test_the_table_has_a_row_a_domain_and_names_failures(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    append(tmp_path, CLIENT, sample(0, 3.0, math=4, other=1))
    failed = [record(outcome=outcome).to_json() for outcome in ("timeout", "unavailable", "timeout")]
    append(tmp_path, REQUESTS, record().to_json(), *failed)
    append(
        tmp_path,
        CLUSTER,
        {"t_s": 0, "domain": "math", "state": "starting", "replicas": 0},
        {"t_s": 0, "domain": "unasked", "state": "ready", "replicas": 1},
    )
    progress.look()
    found = cells(progress)
    assert list(found) == ["math", "other"]
    assert found["math"] == [
        "4",
        "0",
        "1",
        "2 timeout, 1 unavailable",
        "0",
        "500 ms",
        "500 ms",
        "2",
        "0 starting",
    ]
    assert found["other"] == ["1", "1", "0", "0", "0", "", "", "0", ""]
    assert line(progress).split(":")[1] == " 5 sent, 1 in flight, 1 ok, 3 failed, 0 misrouted"


def test_a_server_that_tells_no_replicas(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    append(tmp_path, REQUESTS, record().to_json())
    append(tmp_path, CLUSTER, {"t_s": 0, "domain": "math", "state": None, "replicas": None})
    progress.look()
    assert cells(progress)["math"][-1] == ""

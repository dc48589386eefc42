"""Reading the folder of a run."""

import json
from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.load.run import read_run
from tests.unit.load.runs import client_lines, cluster_lines, info, make_run, record, write_run


def test_a_run_is_read(tmp_path: Path) -> None:
    run = make_run(tmp_path, [record(n) for n in range(3)], cluster=cluster_lines(2, waiting=None))
    assert len(run.records) == 3
    assert run.settings.name == "steady"
    assert not run.settings.is_closed
    assert run.span_s == 10
    assert run.elapsed_s == 10
    assert [sample.waiting for sample in run.cluster] == [None, None]
    assert len(run.client) == 10
    assert run.notes == ()


def test_a_cut_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [record(n) for n in range(3)])
    path = folder / "requests.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    run = read_run(folder)
    assert len(run.records) == 2
    assert run.notes == ("requests.jsonl: the last line was cut off and is left out",)


@pytest.mark.parametrize("name", ["requests.jsonl", "client.jsonl", "cluster.jsonl"])
@pytest.mark.parametrize("damage", ['{"index": 1', '{"worker": "x"}', "[]", "\udcff"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, name: str, damage: str) -> None:
    folder = write_run(tmp_path, [record(0), record(1)], cluster=cluster_lines())
    lines = (folder / name).read_bytes().splitlines(keepends=True)
    lines.insert(1, damage.encode("utf-8", "surrogateescape") + b"\n")
    (folder / name).write_bytes(b"".join(lines))
    with pytest.raises(ConfigError, match="delete the line") as error:
        read_run(folder)
    assert f"{folder / name}:2: damaged" in str(error.value)


def test_a_whole_last_line_that_is_no_record_is_an_error(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [record(0)])
    with (folder / "requests.jsonl").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(ConfigError, match=r"requests\.jsonl:2: damaged"):
        read_run(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder; give one that 'modem load run' wrote"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"run\.json: missing"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"run\.json: not as .* `scenario`"):
        read_run(tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "run.json").mkdir()
    with pytest.raises(ConfigError, match=r"run\.json: cannot be read"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["", "\n\n", '{"index'])
def test_nothing_recorded_is_an_error(tmp_path: Path, content: str) -> None:
    folder = write_run(tmp_path, [record(0)])
    (folder / "requests.jsonl").write_text(content)
    with pytest.raises(ConfigError, match=r"no request is recorded; is http://127.0.0.1:8000 up"):
        read_run(folder)


def test_what_the_client_did_not_come_to_write_may_be_missing(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [record(0), record(1)], client=[], cluster=[])
    (folder / "run.json").write_text(json.dumps({"scenario": {"name": "x", "unknown": [1]}}))
    (folder / "client.jsonl").unlink()
    (folder / "cluster.jsonl").unlink()
    run = read_run(folder)
    assert not run.client
    assert not run.cluster
    assert run.settings.targets == "ttft_p99<2s"
    assert "did not come to its end" in run.notes[0]


def test_how_long_requests_were_sent(tmp_path: Path) -> None:
    rows = [record(n) for n in range(5)]
    assert make_run(tmp_path / "whole", rows).span_s == 10
    cut = info(5, ended="interrupted")
    run = make_run(tmp_path / "cut", rows, run=cut)
    assert run.span_s == 4
    assert run.notes == ("the run was cut short (interrupted)",)
    late_turn = [*rows, record(1, turn=1, at_s=14.0)]
    assert make_run(tmp_path / "turns", late_turn).span_s == 14
    trace = info(5, {"duration_s": None})
    assert make_run(tmp_path / "trace", rows, run=trace).span_s == 4
    single = make_run(tmp_path / "single", [record(0, at_s=0.0)], run=cut)
    assert single.span_s == pytest.approx(0.181)  # until its answer: there is no other time


def test_time_goes_on_until_the_last_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path, [record(0), record(9, ttft_s=5.0)])
    assert run.elapsed_s == pytest.approx(9 + 5 + 0.08 + 0.001)


def test_a_real_client_line_has_more_keys(tmp_path: Path) -> None:
    run = make_run(tmp_path, [record(0)], client=client_lines(2, worker=3, in_flight=9))
    assert (run.client[0].worker, run.client[0].in_flight, run.client[0].t_s) == (3, 9, 1.0)

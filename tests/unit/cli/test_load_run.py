"""``modem load run`` and ``list``, with the real load generator as its child."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from modem.cli import load_run
from modem.cli.main import app
from modem.laptop.environment import free_ports
from modem.load.record import Record
from modem.load.scenarios import scenario_names
from tests.unit.loadtest.plans import simulated_expert

MODEM = str(Path(sys.executable).with_name("modem"))
SCENARIO = "duration_s: {duration}\nrate: 20\nmix: math=1\npinned: true\noutput_tokens: 5\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulated_expert() as found:
        yield found


def mine(folder: Path, duration: float = 1) -> str:
    path = folder / "mine.yaml"
    path.write_text(SCENARIO.format(duration=duration))
    return str(path)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``modem load run``; what a failed test leaves running is killed, and its children with it."""
    started = []

    def run(*arguments: str) -> "subprocess.Popen[str]":
        command = [MODEM, "load", "run", *arguments]
        pipe = subprocess.PIPE
        # As in a shell's background job: the run must heed SIGINT all the same.
        ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=ignore))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def records_of(folder: Path) -> list[Record]:
    return [Record.from_json(line) for line in (folder / "requests.jsonl").read_bytes().splitlines()]


def ended_of(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["ended"])


def wait_for_records(folder: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + load_run.WORKERS_TIMEOUT_S + 60
    while not ((folder / "requests.jsonl").exists() and (folder / "requests.jsonl").stat().st_size):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["load", "run", *arguments])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_list_names_all_scenarios() -> None:
    result = CliRunner().invoke(app, ["load", "list"])
    assert result.exit_code == 0
    assert all(name in result.output for name in scenario_names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stedy",), "did you mean 'steady'"),
        (("/none.yaml",), "/none.yaml"),
        (("steady", "--host", "127.0.0.1:8000"), "there is no http:// or https://"),
        (("steady", "--host", "http://127.0.0.1:8000/v1"), "leave out '/v1'"),
        (("steady", "--slo", "speed>9"), "speed"),
        (("steady", "--set", "colour"), "write key=value"),
        (("steady", "--rate-scale", "0"), "must be more than 0"),
        (("replay", "--trace", "/none.jsonl"), "/none.jsonl"),
        (("steady", "--prompts", "/none.jsonl"), "/none.jsonl"),
    ],
)
def test_wrong_input_is_a_line_and_status_2(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_a_server_that_is_down_is_a_line(tmp_path: Path) -> None:
    host = f"http://127.0.0.1:{free_ports(1)}"
    line = refused(mine(tmp_path), "--host", host, "--out", str(tmp_path / "run"))
    assert f"no server at {host}/v1/models: Connection refused" in line
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_run, "_NEEDED", ("msgspec", "no_such_package"))
    assert "load tests need no_such_package: pip install 'modem[load]'" in refused("steady")


def test_a_run_is_never_overwritten(tmp_path: Path, url: str) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert "holds a run already" in refused(mine(tmp_path), "--host", url, "--out", str(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_reported_and_leaves_no_process(
    tmp_path: Path, url: str, start: Start, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    process = start(mine(tmp_path, 60), "--host", url, "--out", str(out))
    wait_for_records(out, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stdout + stderr
    assert ended_of(out) == "interrupted"
    assert records_of(out)
    assert (out / "report.html").exists()
    assert not [child for child in children if child.is_running()]


def test_a_worker_that_dies_takes_only_its_own_part_with_it(tmp_path: Path, url: str, start: Start) -> None:
    out = tmp_path / "run"
    process = start(mine(tmp_path, 8), "--host", url, "--out", str(out), "--processes", "2")
    wait_for_records(out, process)
    (master,) = psutil.Process(process.pid).children()
    victim = master.children()[0]
    os.kill(victim.pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=90)
    records = records_of(out)
    planned = json.loads((out / "run.json").read_text())["num_planned"]
    lost = {"0", "1"} - {str(record.worker) for record in records if record.sent_s > 7}
    assert ended_of(out) == f"stopped: worker {lost.pop()} was lost", stderr
    alive = next(record.worker for record in records if record.sent_s > 7)
    assert [r.index for r in sorted(records, key=lambda r: r.index) if r.worker == alive] == list(
        range(alive, planned, 2)
    )


def test_the_reason_given_is_the_error_that_the_generator_logged() -> None:
    gave_up = "[2026-01-01 00:00:00,000] host/ERROR/locust.main: Gave up waiting for workers to connect"
    late = "[2026-01-01 00:00:01,000] host/INFO/locust.runners: a worker reported as ready"
    assert load_run._said(f"{gave_up}\n{late}\n", 1).endswith(gave_up)
    assert load_run._said(f"{late}\n", 1).endswith(late)

"""Runs in one locust process, as its web UI starts them: one after another, stopped, refused."""

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from locust.argument_parser import get_empty_argument_parser, setup_parser_arguments
from locust.env import Environment
from locust.event import Events

from loadtest.arguments import add_arguments
from loadtest.lifecycle import register
from loadtest.session import session_of
from loadtest.shape import ScenarioShape
from loadtest.user import Traffic
from modem.laptop.environment import free_ports
from modem.load.record import Record
from tests.unit.loadtest.plans import simulated_expert

SCENARIO = "duration_s: 1\nrate: 20\nmix: math=1\npinned: true\noutput_tokens: 5\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulated_expert() as found:
        yield found


@pytest.fixture
def environment(tmp_path: Path, url: str) -> Iterator[Environment]:
    before = gc.get_threshold()
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    parser = get_empty_argument_parser(default_config_files=[])
    setup_parser_arguments(parser)  # type: ignore[no-untyped-call]
    add_arguments(parser)
    options = parser.parse_args(
        [
            *("--scenario", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run"), "--no-report"),
            "--host",
            url,
        ]
    )
    events = Events()  # type: ignore[no-untyped-call]
    register(events)
    shape = ScenarioShape()  # type: ignore[no-untyped-call]
    found = Environment(
        user_classes=[Traffic], shape_class=shape, events=events, host=url, parsed_options=options
    )
    runner = found.create_local_runner()
    events.init.fire(environment=found, runner=runner, web_ui=None)  # type: ignore[no-untyped-call]
    yield found
    runner.quit()
    gevent.signal_handler(2, lambda: None).cancel()
    gc.unfreeze()
    gc.set_threshold(*before)


def start(environment: Environment, **options: Any) -> Any:
    vars(environment.parsed_options).update(options)
    runner = environment.runner
    assert runner is not None
    runner.start_shape()
    return runner


def finish(environment: Environment, **options: Any) -> None:
    runner = start(environment, **options)
    runner.shape_greenlet.join(60)
    assert runner.state == "stopped"


def until(holds: Callable[[], bool]) -> None:
    with gevent.Timeout(30):
        while not holds():
            gevent.sleep(0.05)


def run_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def records_of(folder: Path) -> list[Record]:
    return [Record.from_json(line) for line in (folder / "requests.jsonl").read_bytes().splitlines()]


def test_a_run_is_written_and_counted_in_locusts_table(
    environment: Environment, tmp_path: Path, url: str
) -> None:
    finish(environment)
    about, records = run_of(tmp_path / "run"), records_of(tmp_path / "run")
    assert len(records) == about["num_planned"] > 5
    assert (about["ended"], about["host"], about["loop"], about["num_workers"]) == ("done", url, "open", 1)
    assert about["scenario"]["rate"] == 20
    assert set(about["versions"]) == {"modem", "locust", "python"}
    assert about["ended_s"] >= max(record.end_s for record in records)
    table = environment.stats.entries
    assert table["e2e", "math"].num_requests == table["ttft", "math"].num_requests == len(records)
    assert environment.process_exit_code == 0
    cluster = [json.loads(line) for line in (tmp_path / "run" / "cluster.jsonl").read_text().splitlines()]
    assert cluster[0] == cluster[0] | {"domain": "math", "replicas": 1, "running": 2, "waiting": None}


def test_one_run_after_another(environment: Environment, tmp_path: Path) -> None:
    finish(environment)
    finish(environment, out=str(tmp_path / "second"), seed="9")
    first, second = (run_of(tmp_path / name) for name in ("run", "second"))
    assert (first["seed"], second["seed"]) == (1, 9)
    assert len(records_of(tmp_path / "second")) == second["num_planned"]
    assert session_of(environment).conductor is None


def test_a_run_that_is_stopped_keeps_what_it_has(environment: Environment, tmp_path: Path) -> None:
    runner = start(environment, duration_s="60")
    until(lambda: environment.stats.total.num_requests > 0)
    runner.stop()
    records = records_of(tmp_path / "run")
    assert run_of(tmp_path / "run")["ended"] == "interrupted"
    assert 0 < len(records) < run_of(tmp_path / "run")["num_planned"]
    finish(environment, out=str(tmp_path / "next"), duration_s="1")
    assert run_of(tmp_path / "next")["ended"] == "done"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": "stedy"}, "did you mean 'steady'"),
        ({"prompts": "/none"}, "/none"),
    ],
)
def test_a_wrong_one_is_refused_and_the_next_one_runs(
    environment: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Any, message: str
) -> None:
    before = {name: getattr(environment.parsed_options, name) for name in options}
    finish(environment, **options)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert environment.process_exit_code == 2
    assert not (tmp_path / "run").exists()
    finish(environment, **before)
    assert run_of(tmp_path / "run")["ended"] == "done"


def test_a_server_that_is_down_is_refused(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(environment, host=f"http://127.0.0.1:{free_ports(1)}")
    assert "Connection refused; start it with: modem up" in capsys.readouterr().err


def test_a_folder_is_never_written_twice(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(environment)
    finish(environment)
    assert "holds a run already" in capsys.readouterr().err


def test_users_follow_the_closed_loop(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        SCENARIO.replace("rate: 20", "users: 3").replace("duration_s: 1", "duration_s: 300")
    )
    runner = start(environment)
    until(lambda: runner.user_count == 3)
    until(lambda: environment.stats.total.num_requests > 60)
    runner.stop()
    records = records_of(tmp_path / "run")
    assert run_of(tmp_path / "run")["num_planned"] is None
    assert {record.index % 3 for record in records} == {0, 1, 2}

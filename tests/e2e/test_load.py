"""Every scenario, shortened, with the real load generator against a real cluster of simulated experts."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modem.laptop.environment import free_ports
from modem.load.record import Record
from modem.load.report import write_report
from modem.load.scenarios import scenario_names
from tests.builders import ASLEEP, DOMAINS, expert, front, mixture
from tests.cluster import Cluster

pytestmark = pytest.mark.ray

MODEM = str(Path(sys.executable).with_name("modem"))
ROOT = Path(__file__).parents[2]
LOCUSTFILE = ROOT / "loadtest" / "locustfile.py"
QUICK: dict[str, Any] = {"ttft_s": 0.02, "tpot_s": 0.002, "output_tokens": 400, "max_model_len": 30_000}
SHORT: dict[str, Sequence[str]] = {
    "replay": ("--duration-s", "3", "--speed", "20"),
    "multi-turn": ("--duration-s", "2", "--set", "sessions.think_s=0.1", "--set", "sessions.turns=[2, 3]"),
    "saturation": ("--duration-s", "3", "--set", "saturation.step_s=1"),
    "cold-start": ("--duration-s", "3", "--rate-scale", "6"),
}
"""What makes a scenario end within seconds; `LIKE_MOST` if it is not named."""
LIKE_MOST = ("--duration-s", "3", "--rate-scale", "3")
SLO = "e2e_p50<60s,error_rate<=0%"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    experts = [expert(name, **QUICK) for name in DOMAINS if name != "health"]
    asleep = expert("health", autoscaling=ASLEEP, startup_s=0.5, **QUICK)
    with Cluster(mixture([front(limits={"start_timeout_s": 60}), *experts, asleep], port=0)) as running:
        yield running


class Run:
    """A load generator and what it left.

    Args:
        out: The run's folder.
        command: All but the folder.
    """

    def __init__(self, out: Path, *command: str) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [*command, "--out", str(out)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stdout = self.stderr = ""

    def ended(self, timeout_s: float = 90) -> int:
        self.stdout, self.stderr = self.process.communicate(timeout=timeout_s)
        assert "Traceback" not in self.said, self.said
        return self.process.returncode

    @property
    def said(self) -> str:
        log = self.out / "locust.log"
        return f"{self.stdout}\n{self.stderr}\n{log.read_text() if log.exists() else ''}"

    @property
    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "run.json").read_text())
        return found

    @property
    def records(self) -> list[Record]:
        return [Record.from_json(line) for line in (self.out / "requests.jsonl").read_bytes().splitlines()]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / f"{name}.jsonl").read_text().splitlines()]


def locust(out: Path, cluster: Cluster, *arguments: str) -> Run:
    """Plain locust, which takes the same options."""
    command = (sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary")
    return Run(out, *command, "--host", cluster.url, *arguments)


def modem(out: Path, *arguments: str) -> Run:
    return Run(out, MODEM, "load", "run", *arguments)


@pytest.fixture(scope="module")
def recorded(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """All scenarios, some at a time; none asks for much."""
    folder = tmp_path_factory.mktemp("runs")

    def record(name: str) -> Run:
        arguments = (*SHORT.get(name, LIKE_MOST), "--no-report", "--scenario", name)
        run = locust(folder / name, cluster, *arguments)
        run.ended()
        return run

    with ThreadPoolExecutor(4) as pool:
        yield {name: pool.submit(record, name) for name in scenario_names()}


@pytest.mark.parametrize("name", scenario_names())
def test_each_scenario_sends_all_it_has_planned(recorded: dict[str, Future[Run]], name: str) -> None:
    run = recorded[name].result()
    assert run.process.returncode == 0, run.said
    records = run.records
    assert {record.outcome for record in records} == {"ok"}, run.said
    assert run.about["ended"] == "done"
    assert sorted({record.index for record in records}) == list(range(run.about["num_planned"]))
    assert len({(record.index, record.turn) for record in records}) == len(records)
    check_the_records(records)
    experts = run.rows("cluster")
    assert {row["domain"] for row in experts} == set(DOMAINS)
    assert all(isinstance(row["running"], int) and isinstance(row["waiting"], int) for row in experts)
    assert run.rows("client")[-1]["num_sent"] == len(records)


@pytest.mark.parametrize("name", scenario_names())
def test_each_scenario_has_a_report_with_rows_per_domain(recorded: dict[str, Future[Run]], name: str) -> None:
    run = recorded[name].result()
    report = write_report(run.out, SLO)
    # How punctual the client was depends on the machine, and is not what this is about: hence 3.
    assert report.status in (0, 3), report.checks
    assert {record.domain for record in run.records} == set(dict(report.summary.domains))
    assert all((run.out / file).stat().st_size for file in ("report.html", "summary.json", "trace.jsonl"))


def check_the_records(records: Sequence[Record]) -> None:
    for record in records:
        assert record.routed in DOMAINS
        assert record.request_id
        assert record.output_tokens is not None
        assert record.sent_s >= record.intended_s - 1e-3
        if not record.stream:
            assert record.ttft_s is None
            continue
        assert record.first_byte_s is not None
        assert record.first_token_s is not None
        assert record.first_content_s is not None
        assert record.last_content_s is not None
        assert record.sent_s <= record.first_byte_s <= record.first_token_s <= record.first_content_s
        assert record.first_content_s <= record.last_content_s <= record.end_s
        # A simulated expert sends a token an event.
        assert record.num_chunks == record.output_tokens == len(record.itl_s) + 1
        assert sum(record.itl_s) == pytest.approx(record.last_content_s - record.first_content_s, abs=1e-3)


def test_two_workers_send_what_one_would(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ("--duration-s", "3", "--rate-scale", "4", "--seed", "5")
    two = modem(tmp_path / "two", "steady", "--host", cluster.url, *arguments, "--processes", "2")
    one = locust(tmp_path / "one", cluster, "--scenario", "steady", *arguments, "--no-report")
    assert one.ended() == 0, one.said
    assert two.ended() in (0, 3), two.said

    def sent(run: Run) -> list[tuple[int, str, float, int | None]]:
        return sorted((r.index, r.domain, r.intended_s, r.output_tokens) for r in run.records)

    assert sent(one) == sent(two)
    assert Counter(r.worker for r in two.records) == Counter(r.index % 2 for r in two.records)
    assert two.about["num_workers"] == 2
    assert {row["worker"] for row in two.rows("client")} == {0, 1}
    assert (two.out / "report.html").exists()
    assert f"{len(two.records)} ok, 0 failed" in two.stderr


def test_a_closed_loop_asks_as_fast_as_it_is_answered(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("duration_s: 6\nusers: [[0, 1], [1, 4]]\noutput_tokens: 50\n")
    run = locust(tmp_path / "run", cluster, "--scenario", str(path), "--no-report")
    assert run.ended() == 0, run.said
    assert (run.about["loop"], run.about["num_planned"]) == ("closed", None)
    assert {record.outcome for record in run.records} == {"ok"}
    indices = [record.index for record in run.records]
    assert len(set(indices)) == len(indices) > 4, "each of the four asks once at most"


def test_saturation_ends_when_goodput_falls(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ("--duration-s", "60", "--set", "saturation.step_s=3", "--set", "targets=ttft_p99<1ms")
    run = locust(tmp_path / "run", cluster, "--scenario", "saturation", *arguments, "--no-report")
    assert run.ended() == 0, run.said
    assert run.about["ended"].startswith("stopped: goodput fell at ")
    assert run.about["ended_s"] < 50
    assert len(run.records) < run.about["num_planned"]


def test_plain_locust_reports_and_sets_the_exit_status(cluster: Cluster, tmp_path: Path) -> None:
    arguments = ("--duration-s", "2", "--set", "pinned=true", "--slo", "ttft_p99<1ms")
    run = locust(tmp_path / "run", cluster, "--scenario", "steady", *arguments)
    assert run.ended() in (1, 3), run.said
    assert "wrote " in run.stdout
    assert {(record.reason, record.misrouted) for record in run.records} == {("pinned", None)}
    for domain in {record.domain for record in run.records}:
        assert re.search(rf"^{domain} +e2e ", run.said, re.MULTILINE)
        assert re.search(rf"^{domain} +ttft ", run.said, re.MULTILINE)


def test_ctrl_c_keeps_what_was_recorded(cluster: Cluster, tmp_path: Path) -> None:
    slow = ("--set", "output_tokens=400", "--duration-s", "60", "--rate-scale", "4")
    run = modem(tmp_path / "run", "steady", "--host", cluster.url, *slow)
    wait_for_records(run)
    run.process.send_signal(signal.SIGINT)
    assert run.ended() == 130, run.said
    assert run.about["ended"] == "interrupted"
    outcomes = Counter(record.outcome for record in run.records)
    assert outcomes["ok"]
    assert set(outcomes) <= {"ok", "aborted"}
    assert run.rows("client")[-1]["num_sent"] == len(run.records)
    assert (run.out / "report.html").exists()


def wait_for_records(run: Run) -> None:
    requests = run.out / "requests.jsonl"
    deadline = time.monotonic() + 60
    while not (requests.exists() and requests.stat().st_size):
        assert time.monotonic() < deadline
        assert run.process.poll() is None, run.process.communicate()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "http://127.0.0.1:{free}"), r"no server at .*: Connection refused; start it with"),
        (("--host", "{url}/nothing"), r"is no list of models \(404"),
    ],
)
def test_nothing_to_test_is_one_line(
    cluster: Cluster, tmp_path: Path, arguments: Sequence[str], message: str
) -> None:
    run = modem(
        tmp_path / "run", "steady", *(text.format(free=free_ports(1), url=cluster.url) for text in arguments)
    )
    assert run.ended() == 2, run.said
    (line,) = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert re.search(message, line), line
    assert not run.out.exists()

"""Plots and the HTML page; they need matplotlib."""

from pathlib import Path

import pytest

from modem.simulation.page import render
from modem.simulation.plots import draw
from modem.simulation.result import SimulationResult
from modem.simulation.simulate import simulate
from modem.simulation.summary import Targets, summarize
from modem.traces.trace import Arrival, Trace
from tests.unit.simulation.builders import Factory, expert

pytest.importorskip("matplotlib")
SCALES = {"min_replicas": 0, "max_replicas": 9, "metrics_interval_s": 1, "look_back_period_s": 5}
TARGETS = Targets(ttft_s=1.0)


@pytest.fixture(scope="module")
def result() -> SimulationResult:
    rows = [Arrival(t, "math", 100, 11) for t in range(20)]
    setups = [expert("math", autoscaling=SCALES), expert("<other>")]  # an expert without a request too
    return simulate(setups, Trace.of(rows), Factory(math=[(0, 1), (5, 2), (12, 1)]), 0)


def test_two_plots_for_each_domain(result: SimulationResult, tmp_path: Path) -> None:
    files = draw(result, TARGETS, tmp_path)
    names = [file.name for file in files]
    assert names == ["math-replicas.png", "math-ttft.png", "<other>-replicas.png", "<other>-ttft.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_the_page_needs_nothing_else(result: SimulationResult, tmp_path: Path) -> None:
    files = draw(result, TARGETS, tmp_path)
    page = render(result, summarize(result, TARGETS), "modem simulate --x '<y>'", files)
    assert page.count("data:image/png;base64,") == 4
    assert "<td>math</td>" in page
    assert "modem simulate --x &#x27;&lt;y&gt;&#x27;" in page
    assert "<other>" not in page
    assert "made up" in page  # where the profile is from
    assert 'src="http' not in page
    assert "href" not in page

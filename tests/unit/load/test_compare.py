"""Two runs against each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modem.load.bootstrap import draw
from modem.load.columns import Columns, columns
from modem.load.compare import Comparison, Difference, compare
from modem.load.record import Record
from modem.load.tables import comparison_tables
from tests.unit.load.runs import client_lines, failed, info, make_run, many, record


def compared(folder: Path, a: list[Record], b: list[Record], draws: int = 300, **files: object) -> Comparison:
    return compare(make_run(folder / "a", a), make_run(folder / "b", b, **files), num_draws=draws)


def row(found: Comparison, figure: str, domain: str = "all") -> Difference:
    return next(each for each in found.rows if (each.domain, each.figure) == (domain, figure))


def test_a_slower_server_is_found(tmp_path: Path) -> None:
    found = compared(tmp_path, many(600), many(600, seed=1, ttft_s=0.15))
    ttft = row(found, "ttft_p50")
    assert ttft.verdict == "slower"
    assert ttft.ratio == pytest.approx(1.5, rel=0.1)
    low, high = ttft.ratio_interval.low, ttft.ratio_interval.high
    assert low is not None
    assert high is not None
    assert 1 < low < 1.5 < high
    assert row(found, "itl_p50").verdict == "not told apart"
    assert (
        row(compared(tmp_path / "back", many(600, ttft_s=0.15), many(600, 1)), "ttft_p50").verdict == "faster"
    )


def test_the_same_run_twice_is_not_told_apart(tmp_path: Path) -> None:
    found = compared(tmp_path, many(300), many(300))
    assert {each.verdict for each in found.rows} == {"not told apart"}
    assert row(found, "ttft_p90").difference == 0
    assert row(found, "error_rate").ratio is None


def test_failures_and_goodput_are_compared(tmp_path: Path) -> None:
    worse = [
        each if n % 5 else failed(n, "timeout", each.domain, at_s=n / 10) for n, each in enumerate(many(300))
    ]
    found = compared(tmp_path, many(300), worse)
    assert row(found, "error_rate").verdict == "more"
    assert row(found, "error_rate").b == pytest.approx(0.2)
    assert row(found, "goodput").verdict == "fewer"
    assert row(found, "ttft_p50").verdict == "not told apart"  # of the answers that came


def test_domains_that_both_asked_have_rows(tmp_path: Path) -> None:
    other = [replace(each, domain="law") if each.domain == "other" else each for each in many(300, 2)]
    found = compared(tmp_path, many(300), other)
    assert list(dict.fromkeys(each.domain for each in found.rows)) == ["all", "code", "math"]
    assert "only A asked other" in found.notes
    assert "only B asked law" in found.notes


def test_a_change_of_one_domain_is_found_there(tmp_path: Path) -> None:
    slow = [
        record(n, each.domain, at_s=n / 10, ttft_s=1.0 if each.domain == "math" else 0.1)
        for n, each in enumerate(many(450, 3))
    ]
    found = compared(tmp_path, many(450), slow)
    assert row(found, "ttft_p50", "math").verdict == "slower"
    assert row(found, "ttft_p50", "code").verdict != "slower"


def test_few_requests_say_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, many(40), many(40, ttft_s=9.0))
    assert {each.verdict for each in found.rows} == {"too few requests"}


def test_runs_without_any_answer_are_compared(tmp_path: Path) -> None:
    dead = [failed(n, "no_connection", at_s=n / 10) for n in range(60)]
    found = compared(tmp_path, dead, many(60))
    assert row(found, "ttft_p50").a is None
    assert row(found, "ttft_p50").difference is None
    assert row(found, "ttft_p50").verdict == "not told apart"
    assert row(found, "error_rate").verdict == "fewer"


def test_what_makes_them_less_comparable_is_told(tmp_path: Path) -> None:
    scenario = {"loop": "closed", "targets": "ttft_p99<1s", "duration_s": 30.0}
    found = compared(
        tmp_path,
        many(300),
        [record(n, at_s=n / 20) for n in range(300)],
        run=info(300, scenario, ended="interrupted"),
        client=client_lines(cpu_share=0.99),
    )
    text = "\n".join(found.notes)
    assert "B: closed loop: hides overload" in text
    assert "B is not certified" in text
    assert "A is not certified" not in text
    assert "one run is an open loop and one closed" in text
    assert "different loads: A was offered 10 requests/s, B 20.1" in text
    assert "by A's targets, ttft_p99<2s; B's are ttft_p99<1s" in text
    assert "different mixes: the share of math" in text
    assert all("hides overload" in table.title for table in comparison_tables(found))


def test_the_draws_are_the_same_each_time(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", many(120)), make_run(tmp_path / "b", many(120, 1))
    assert compare(a, b, 3, 100).rows == compare(a, b, 3, 100).rows
    assert compare(a, b, 3, 100).rows != compare(a, b, 4, 100).rows


def test_a_draw_is_near_what_was_drawn_from() -> None:
    records = columns([*many(500), *(failed(500 + n, at_s=50 + n / 10) for n in range(50))])
    drawn = draw(records, records.ok, np.random.default_rng(0), 200)
    exact = np.quantile(records.where(records.ok).itl_s, (0.5, 0.9, 0.99))
    assert np.median(drawn.quantiles_s["itl"], axis=0) == pytest.approx(exact, rel=0.02)
    exact = np.quantile(records.where(records.ok).ttft_s, (0.5, 0.9, 0.99))
    assert np.median(drawn.quantiles_s["ttft"], axis=0) == pytest.approx(exact, rel=0.05)
    assert float(np.mean(drawn.error_rate)) == pytest.approx(50 / 550, abs=0.01)
    assert (drawn.error_rate + drawn.share_good) == pytest.approx(np.ones(200))


def test_the_error_of_a_share_is_the_binomial_one() -> None:
    rng = np.random.default_rng(0)
    rows = [failed(n) if rng.random() < 0.3 else record(n) for n in range(1000)]
    records = columns(rows)
    drawn = draw(records, records.ok, np.random.default_rng(1), 500)
    share = records.ok.mean()
    assert drawn.share_good.std() == pytest.approx(np.sqrt(share * (1 - share) / 1000), rel=0.2)


def test_neighbours_in_one_queue_widen_the_interval() -> None:
    """The same waits, in runs of ten alike or shuffled: alike neighbours are fewer independent ones."""
    rng = np.random.default_rng(0)
    waits = np.repeat(0.1 * np.exp(rng.standard_normal(100)), 10)
    widths = []
    for ordered in (waits, rng.permutation(waits)):
        records = columns([record(n, ttft_s=float(wait)) for n, wait in enumerate(ordered)])
        drawn = draw(records, records.ok, np.random.default_rng(1), 400)
        widths.append(float(drawn.quantiles_s["ttft"][:, 0].std()))
    assert widths[0] > 2 * widths[1]


def test_gaps_stay_with_their_answer() -> None:
    """Half of the answers have slow gaps only: the median gap is as uncertain as which answers were drawn."""
    rows = [record(n, itl_s=(0.1 if n % 2 else 0.01,) * 200) for n in range(100)]
    records = columns(rows)
    medians = draw(records, records.ok, np.random.default_rng(0), 200).quantiles_s["itl"][:, 0]
    assert set(np.unique(medians)) == {0.01, 0.1}


def queued(seed: int, correlation: float, number: int = 300) -> Columns:
    """Waits that are alike among neighbours, as those of a queue are; log-normal."""
    rng = np.random.default_rng(seed)
    noise, level = rng.standard_normal(number), 0.0
    rows = []
    for n in range(number):
        level = correlation * level + np.sqrt(1 - correlation**2) * noise[n]
        rows.append(record(n, ttft_s=float(0.1 * np.exp(0.5 * level)), itl_s=()))
    return columns(rows)


def false_alarms(correlation: float, num_pairs: int = 100) -> float:
    """Share of pairs of runs of one server whose p50 and p90 are told apart."""
    told = []
    for pair in range(num_pairs):
        runs = [queued(2 * pair + which, correlation) for which in (0, 1)]
        a, b = (
            draw(run, run.ok, np.random.default_rng(pair), 150).quantiles_s["ttft"][:, :2] for run in runs
        )
        low, high = np.quantile(b - a, (0.025, 0.975), axis=0)
        told.append((low > 0) | (high < 0))
    return float(np.mean(told))


@pytest.mark.parametrize(("correlation", "most"), [(0.0, 0.12), (0.5, 0.17)])
def test_runs_of_one_server_are_seldom_told_apart(correlation: float, most: float) -> None:
    """Exact were 0.05; requests drawn one by one would be at 0.26 with the correlation (1.96 / sqrt(3))."""
    assert false_alarms(correlation) <= most

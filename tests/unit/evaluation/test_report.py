import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from modem.evaluation import tables
from modem.evaluation.evaluate import Report, evaluate
from modem.evaluation.measure import serving_all
from modem.evaluation.plots import draw
from modem.evaluation.report import details, overview, public, render, robustness_table, sets_table, to_json
from modem.evaluation.sets import EvaluationSet
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_cases, keyword_set


@pytest.fixture(scope="module")
def report() -> Report:
    cases = keyword_cases()
    subjects = ("algebra", "virology", "history")
    marked = tuple(replace(case, subject=subjects[i % 3], group=str(i // 4)) for i, case in enumerate(cases))
    sets = [keyword_set("drills"), EvaluationSet("mmlu_like", marked)]
    return evaluate(KeywordRouter(), serving_all(DOMAINS), sets, sets)


def test_json_holds_everything(report: Report) -> None:
    found = json.loads(to_json(report, "modem router eval"))
    assert found["format"] == "modem-evaluation-1"
    assert found["command"] == "modem router eval"
    assert found["router"] == {"name": "keyword", "version": "1"}
    assert [one["name"] for one in found["sets"]] == ["drills", "mmlu_like"]
    assert found["sets"][0]["scores"]["accuracy"] == report.of("drills").scores.accuracy
    assert len(found["robustness"][0]["losses"]) == 8
    assert found["cost"]["num_decisions"] == 20


def test_a_set_is_a_row_with_its_figures(report: Report) -> None:
    table = sets_table(report)
    assert [row[0] for row in table.rows] == ["drills", "mmlu_like", "mmlu_like without borderline"]
    assert table.rows[0] == (
        "drills",
        "20",
        "100.0 %",
        "83.9 to 100.0",
        "100.0 %",
        "0.100",
        "100.0 %",
        "0.0 %",
    )
    assert "virology" in table.note


def test_every_wrapping_is_a_row_and_every_set_two_columns(report: Report) -> None:
    table = robustness_table(report)
    assert table.header == ("wrapping", "drills", "drills, decided", "mmlu_like", "mmlu_like, decided")
    assert len(table.rows) == 9
    assert table.rows[0] == ("as it stands (20 / 20 prompts)", *["100.0 %"] * 4)
    losses = report.robustness[0].losses
    assert [row[1] for row in table.rows[1:]] == [tables.points(loss.loss_points) for loss in losses]


def test_every_row_is_as_long_as_its_header(report: Report) -> None:
    found = [*overview(report), *details(report)]
    assert len({table.title for table in found}) == len(found)
    for table in found:
        assert table.rows, table.title
        assert {len(row) for row in table.rows} == {len(table.header)}, table.title


def test_markdown_names_router_command_and_sets(report: Report) -> None:
    text = render(report, "modem router eval --data x")
    assert text.startswith("# Evaluation of `keyword` 1\n")
    assert "modem router eval --data x" in text
    for part in ("## Sets", "## Robustness", "## The same in other words", "## drills: confusion"):
        assert part in text
    assert "threshold 0.5" in text
    assert "by subject, worst first" in text


def test_plots_are_images_of_every_set(report: Report, tmp_path: Path) -> None:
    files = draw(report, tmp_path / "plots")
    assert sorted(file.name for file in files) == sorted(
        f"{name}-{kind}.png"
        for name in ("drills", "mmlu_like")
        for kind in ("confusion", "reliability", "risk-coverage")
    )
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_cell_never_breaks_a_table(cells: list[str]) -> None:
    lines = tables.markdown_rows(cells, [cells]).split("\n")
    assert len(lines) == 3
    assert [line.replace("\\|", "").count("|") for line in lines] == [len(cells) + 1] * 3


def test_a_terminal_shows_the_same_cells() -> None:
    table = tables.make_table("T", ("a", "b"), [("x", "1")], "a note")
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(tables.to_rich(table))
    text = console.export_text()
    for word in ("T", "a", "b", "x", "1", "a note"):
        assert word in text


def test_commands_are_shown_without_the_folders_of_a_machine() -> None:
    given = "modem router eval --data /home/me/prompts/x.jsonl --model runs/a --wrap 'a b'"
    assert public(given) == "modem router eval --data x.jsonl --model runs/a --wrap 'a b'"
    assert public(public(given)) == public(given)


def test_numbers_are_written_for_people() -> None:
    assert (tables.percent(0.5), tables.percent(None)) == ("50.0 %", "-")
    assert (tables.points(-0.001), tables.points(1.25), tables.points(-3.0)) == ("0.0", "1.2", "-3.0")

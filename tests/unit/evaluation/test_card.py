import copy
import json
from pathlib import Path
from typing import Any

import pytest

from modem.errors import ConfigError
from modem.evaluation.card import TrainedFolder, read_trained, render_card
from modem.evaluation.evaluate import Report, evaluate
from modem.evaluation.measure import serving_all
from modem.training.sources import Source, Sources
from tests.builders import DOMAINS
from tests.routers import KeywordRouter
from tests.unit.evaluation.cases import keyword_set

METRICS: dict[str, Any] = {
    "router": {"name": "keyword", "version": "1", "base": "tiny-base"},
    "command": "modem router train --config training/compact.yaml",
    "sets": {"held_out": {"num_prompts": 50, "accuracy": 0.96, "macro": 0.95, "log_loss": 0.2}},
    "export": {"weights_bytes": 22_900_000},
    "data": {
        "num_training": 1000,
        "num_held_out": 100,
        "sources": [
            {
                "source": "drills",
                "domain": "math",
                "home": "here",
                "licence": "MIT",
                "training": 900,
                "held_out": 90,
            }
        ],
    },
    "recipe": {"kind": "compact", "max_tokens": 256},
}
DEDUP = {
    "similar": 0.7,
    "run_words": 10,
    "num_kept": 990,
    "num_dropped": 10,
    "by_source": {"drills": {"exact in mix": 6, "near in gate": 1}, "more": {"exact in mix": 3}},
}
SOURCES = Sources(
    sources=(
        Source(name="drills", domains=("math",), home="here", licence="MIT", use=True, note="By hand."),
        Source(name="closed", domains=("math",), home="there", licence="CC BY-NC", use=False, note="a|b"),
    )
)


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(KeywordRouter(), serving_all(DOMAINS), [keyword_set("gate", 50)], [keyword_set("gate")])


def trained(**changes: Any) -> TrainedFolder:
    return TrainedFolder(Path("r"), {**copy.deepcopy(METRICS), **changes}, DEDUP)


def test_the_card_says_what_it_is_and_how_to_repeat_it(report: Report) -> None:
    card = render_card(trained(), report, "modem router eval --model r --card README.md")
    assert card.startswith("# Router `keyword` 1\n")
    for part in (
        "`tiny-base`, fine-tuned end to end on 1000 prompts",
        "int8 ONNX, 22.9 MB",
        "modem router train --config training/compact.yaml\nmodem router eval --model r --card README.md",
    ):
        assert part in card


def test_the_card_holds_figures_of_training_and_evaluation(report: Report) -> None:
    card = render_card(trained(), report, "x")
    assert "| held_out | 50 | 96.0 % | 95.0 % | 0.200 |" in card
    assert "| gate | 250 | 100.0 % |" in card
    assert "| gate | 0.100 | 100.0 % | 100.0 % | 100.0 % |" in card
    for heading in (
        "### Robustness",
        "### Calibration",
        "### gate: domains",
        "## Data",
        "## Limits",
        "## Use",
    ):
        assert heading in card
    assert "Weakest on `gate`" in card


def test_the_card_names_licences_and_what_was_dropped(report: Report) -> None:
    card = render_card(trained(), report, "x", SOURCES)
    assert "| math | drills | here | MIT | 900 | 90 |" in card
    assert "- `drills`: By hand." in card
    assert "| closed | CC BY-NC | a\\|b |" in card
    assert "Of 1000 prompts 10 were dropped" in card
    assert "| mix | exact | 9 |" in card
    assert "| gate | near | 1 |" in card


def test_without_a_declaration_there_are_no_notes(report: Report) -> None:
    assert "Declared but not used" not in render_card(trained(), report, "x")


def test_a_checkpoint_is_called_one(report: Report) -> None:
    card = render_card(trained(recipe={"kind": "encoder", "max_tokens": 512}), report, "x")
    assert "a Hugging Face checkpoint" in card


def test_figures_of_another_router_are_refused(report: Report) -> None:
    other = trained(router={"name": "keyword", "version": "2", "base": "b"})
    with pytest.raises(ConfigError, match=r"keyword 2, the evaluation of keyword 1"):
        render_card(other, report, "x")


def test_metrics_that_lack_something_are_named(report: Report) -> None:
    found = trained()
    metrics = {key: value for key, value in found.metrics.items() if key != "export"}
    with pytest.raises(ConfigError, match=r"lacks 'export'"):
        render_card(TrainedFolder(Path("r"), metrics, DEDUP), report, "x")


def test_a_trained_folder_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.json: cannot be read.*modem router train"):
        read_trained(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    (tmp_path / "dedup.json").write_text("{")
    with pytest.raises(ConfigError, match=r"dedup\.json: not JSON"):
        read_trained(tmp_path)
    (tmp_path / "dedup.json").write_text(json.dumps(DEDUP))
    assert read_trained(tmp_path) == TrainedFolder(tmp_path, METRICS, DEDUP)

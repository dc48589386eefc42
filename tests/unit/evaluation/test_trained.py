"""From a real training of a tiny encoder to its evaluation and its model card."""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from modem.cli.router_eval import evaluate_command
from modem.evaluation.added import added_figures, can_grow
from modem.evaluation.measure import measure
from modem.evaluation.sets import EvaluationSet, prompt_case
from modem.evaluation.tables import percent
from modem.evaluation.target import load_target, router_config
from modem.training.data import Prompt
from modem.training.figures import metrics
from modem.training.folder import write_json
from modem.training.run import Trained, train
from modem.types import AddedDomain
from tests.unit.evaluation.cases import write
from tests.unit.training.prompts import DOMAINS, rows
from tests.unit.training.test_run import small_corpus
from tests.unit.training.tiny import no_bar, recipe, tiny_bert

LAW = AddedDomain("law", "Questions of law.", ("may my landlord evict me?", "what is a contract?"))


@dataclass(frozen=True)
class Run:
    out: Path
    trained: Trained
    exam: tuple[Prompt, ...]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What ``modem router train`` writes."""
    folder = tmp_path_factory.mktemp("trained")
    out, corpus = folder / "tiny", small_corpus()
    trained = train(
        recipe(tiny_bert(folder / "bert"), linear_probe=True),
        corpus,
        out,
        False,
        datetime.date(2026, 1, 2),
        no_bar,
    )
    write_json(out / "metrics.json", metrics(trained, corpus, f"modem router train --data {folder}"))
    return Run(out, trained, tuple(corpus.validation["exam"]))


def evaluate(run: Run, folder: Path, *options: str) -> Result:
    file = write(
        folder / "exam.jsonl", [{"prompt": p.text, "domain": p.domain, "source": p.source} for p in run.exam]
    )
    app = typer.Typer()
    app.command()(evaluate_command)
    return CliRunner().invoke(app, ["--data", str(file), "--model", str(run.out), "--no-own", *options])


def test_the_folder_is_known_for_what_it_is(run: Run) -> None:
    config = router_config(str(run.out))
    assert (config.kind, config.model) == ("compact", str(run.out))
    router, gateway = load_target(None, str(run.out), None)
    assert router.identity.version == run.trained.version
    assert set(gateway.domains) == set(DOMAINS)


def test_the_evaluation_agrees_with_the_training_s_own_figures(run: Run, tmp_path: Path) -> None:
    result = evaluate(run, tmp_path, "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["sets"]
    own = run.trained.measured["exam"].figures
    assert found["scores"]["num_prompts"] == own.num_prompts
    assert found["scores"]["accuracy"] == pytest.approx(own.accuracy)
    assert found["scores"]["macro"] == pytest.approx(own.macro)
    assert found["calibration"]["ece"] == pytest.approx(own.ece, abs=1e-4)
    recalls = {one["domain"]: one["recall"] for one in found["scores"]["domains"]}
    for figures in own.domains:
        assert recalls[figures.domain] == pytest.approx(figures.recall)


def test_the_card_is_made_of_what_both_commands_wrote(run: Run, tmp_path: Path) -> None:
    result = evaluate(run, tmp_path, "--card", str(run.out / "README.md"), "--wrap", "exam")
    assert result.exit_code == 0, result.output
    card = (run.out / "README.md").read_text(encoding="utf-8")
    assert card.startswith(f"# Router `tiny` {run.trained.version}\n")
    figures = run.trained.measured["exam"].figures
    assert f"| exam | {len(run.exam)} | {percent(figures.accuracy)} |" in card
    assert "| coding | drills | here | MIT |" in card
    assert "| context_around |" in card
    assert "1 were dropped" in card
    # The command names the folder of the data, not where it lies on this machine.
    assert str(run.out.parent) not in card
    assert f"modem router train --data {run.out.parent.name}" in card


def test_a_card_of_another_training_is_refused(run: Run, tmp_path: Path) -> None:
    changed = json.loads((run.out / "metrics.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    for file in run.out.iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    changed["router"]["version"] = "1999.01.01-00000000"
    (other / "metrics.json").write_text(json.dumps(changed))
    result = evaluate(Run(other, run.trained, run.exam), tmp_path, "--card", str(tmp_path / "README.md"))
    assert result.exit_code == 2
    assert "metrics.json is of tiny 1999.01.01-00000000" in result.stderr


def test_a_domain_can_be_added_to_it(run: Run) -> None:
    router, gateway = load_target(None, str(run.out), None)
    assert can_grow(router, LAW)
    found = added_figures(router, gateway, LAW)
    assert (found.name, found.num_examples, found.num_prompts) == ("law", 2, 40)
    for share in (found.recall, found.decided_recall, found.taken, found.moved, found.moved_specialists):
        assert 0 <= share <= 1


def test_cases_and_files_are_measured_alike(run: Run, tmp_path: Path) -> None:
    router, gateway = load_target(None, str(run.out), None)
    cases = EvaluationSet("x", tuple(prompt_case(text, domain) for text, domain, _ in rows(6, first=40)))
    once = measure(router, cases.cases, gateway)
    again = [measure(router, [case], gateway) for case in cases.cases]
    assert once.chosen == tuple(one.chosen[0] for one in again)
    assert once.decided == tuple(one.decided[0] for one in again)
    assert once.confidences.tolist() == pytest.approx([float(one.confidences[0]) for one in again])

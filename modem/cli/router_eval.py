"""``modem router eval``: how good a router is, on which prompts, and what throws it off."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.evaluation.evaluate import Report
    from modem.evaluation.sets import EvaluationSet
    from modem.evaluation.tables import Table

_GATE = "gate"
_FILE_CHARS = 160


def evaluate_command(
    data: Annotated[
        list[Path] | None,
        typer.Option(help="JSONL file, or a folder of them with perhaps a validation folder; repeatable."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Of a training folder, only what no training has learnt.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="A Serve config file, for its router, domains and thresholds.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A router's folder or file; the shipped router by default.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Kind of --model: compact, encoder, linear; told from its files.")
    ] = None,
    own: Annotated[bool, typer.Option(help="Measure on the project's own sets.")] = True,
    wrap: Annotated[
        list[str] | None, typer.Option(help="Set to wrap in boilerplate and context; repeatable.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most prompts of a set, the same ones each time.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json, evaluation.md and plots.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Model card to write, of a --model folder.")] = None,
    sources: Annotated[
        Path | None, typer.Option(help="Declaration of the training data, for the card's notes.")
    ] = None,
    floor: Annotated[Path | None, typer.Option(help="Bound for the regression gate to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of tables.")] = False,
) -> None:
    """Measure a router: accuracy, calibration, robustness, cost; on the project's own sets and on yours.

    Exit status: 0 done, 2 the data, the router or an option is wrong.
    """
    from modem.evaluation.evaluate import evaluate
    from modem.evaluation.report import to_json
    from modem.evaluation.target import load_target

    try:
        _check(card, model)
        sets = gather(data or [], held_out, own, limit)
        wrapped = _wrapped(sets, wrap, own)
        router, gateway = load_target(config, model, kind)
        with progress_bar("deciding") as progress:
            report = evaluate(router, gateway, sets, wrapped, own, progress)
        write_outputs(report, out, floor)
        if card is not None and model is not None:
            _write_card(card, Path(model), report, sources)
    except ConfigError as error:
        fail(error)
    if as_json:
        typer.echo(to_json(report, command()), nl=False)
    else:
        _print(report)


def gather(data: list[Path], held_out: bool, own: bool, limit: int | None) -> "list[EvaluationSet]":
    """Return the sets to measure on, the project's own first.

    Raises:
        ConfigError: A file is missing or wrong, two sets have one name, or there are none.
    """
    from modem.evaluation.sets import by_name, committed_sets, limited, read_held_out, read_sets

    found = committed_sets() if own else []
    found += read_held_out(data) if held_out else [one for path in data for one in read_sets(path)]
    if not found:
        raise ConfigError("nothing to measure on: give --data, or leave out --no-own")
    return [limited(one, limit) for one in by_name(found).values()]


def write_outputs(report: "Report", out: Path | None, floor: Path | None) -> None:
    """Write what was asked for.

    Raises:
        ConfigError: A file cannot be written, or matplotlib is missing.
    """
    from modem.evaluation.floor import floor_of, write_floor
    from modem.evaluation.plots import draw
    from modem.evaluation.report import render, to_json

    if out is not None:
        write(out / "evaluation.json", to_json(report, command()))
        write(out / "evaluation.md", render(report, command()))
        draw(report, out / "plots")
    if floor is not None:
        write_floor(floor_of(report), floor)


def write(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def command() -> str:
    """Return the command that is running, as it would be typed."""
    return shlex.join(["modem", *sys.argv[1:]])


def _check(card: Path | None, model: str | None) -> None:
    if card is not None and model is None:
        raise ConfigError("--card is written for a trained router: give its folder as --model")


def _wrapped(sets: "list[EvaluationSet]", wrap: list[str] | None, own: bool) -> "list[EvaluationSet]":
    """Return the sets whose prompts are wrapped: the gate's, unless others are named."""
    from modem.evaluation.sets import by_name

    names = wrap if wrap is not None else [_GATE] if own else []
    known = by_name(sets)
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigError(f"--wrap {missing[0]}: there is no such set; there are {', '.join(known)}")
    return [known[name] for name in names]


def _write_card(card: Path, folder: Path, report: "Report", sources: Path | None) -> None:
    from modem.evaluation.card import read_trained, render_card
    from modem.training.sources import read_sources

    declaration = None if sources is None else read_sources(sources)
    write(card, render_card(read_trained(folder), report, command(), declaration))


def show(items: "Sequence[Table | str]") -> None:
    """Print tables and lines; where nobody looks, in lines that are long enough for any table."""
    from rich.console import Console

    from modem.evaluation.tables import Table, to_rich

    console = Console(highlight=False, width=None if Console().is_terminal else _FILE_CHARS)
    for item in items:
        console.print(to_rich(item) if isinstance(item, Table) else item)


def _print(report: "Report") -> None:
    from modem.evaluation.report import cost_line, domains_table, overview, policy_line

    tables = [*overview(report), *(domains_table(found) for found in report.sets)]
    name = f"{report.router.name} {report.router.version}"
    show([name, *tables, policy_line(report.policy), cost_line(report)])

"""``modem router``: fit the router's head and measure routers."""

import dataclasses
import datetime
import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.routing.base import Router
    from modem.training.data import Prompt
    from modem.training.metrics import Evaluation
    from modem.training.run import TrainingPlan

EXIT_CONFIG = 2
_CHUNK = 256
"""Texts between two steps of the progress bar."""

app = typer.Typer(help="Fit the router's head and measure routers.", no_args_is_help=True)


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Folder with JSONL files of prompt, domain and source.")],
    sources: Annotated[Path, typer.Option(help="Declaration of the sources.")] = Path(
        "training/sources.yaml"
    ),
    out: Annotated[Path, typer.Option(help="The head to write.")] = Path("router-head.safetensors"),
    card: Annotated[
        Path | None, typer.Option(help="The model card to write; beside the head by default.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="'package', or a folder or hub id of a sentence encoder.")
    ] = "package",
    cap_per_domain: Annotated[int, typer.Option(min=1, help="Most prompts of a domain.")] = 4800,
    cap_per_source: Annotated[
        int, typer.Option(min=1, help="Most prompts of a source within a domain.")
    ] = 300,
    seed: Annotated[int, typer.Option(help="Draws the sample.")] = 0,
) -> None:
    """Fit a head on frozen embeddings and write it with its model card.

    Exit status: 0 done, 2 the data or the declaration is wrong.
    """
    from modem.training.card import render_card
    from modem.training.run import TrainingPlan, gather
    from modem.training.run import train as run_training

    card = card or out.with_suffix(".md")
    today = datetime.datetime.now(datetime.UTC).date()
    plan = TrainingPlan(data, sources, encoder, cap_per_domain, cap_per_source, seed, out.stem, today)
    try:
        corpus = gather(plan)
        with _progress("embedding") as progress:
            run = run_training(plan, corpus, progress)
        run.head.save(out)
        _write(card, render_card(run, _command(plan, out, card)))
    except ConfigError as error:
        fail(error)
    for name, found in {"held out": run.held_out, **run.validation}.items():
        _print_table(name, found)
    typer.echo(f"wrote {out} ({run.head.name} {run.head.version}) and {card}")


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="JSONL file, or a folder of them.")],
    head: Annotated[str, typer.Option(help="'shipped', or a head written by 'train'.")] = "shipped",
    encoder: Annotated[
        str, typer.Option(help="'package', or a folder or hub id of the head's encoder.")
    ] = "package",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Confidence for the coverage.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
) -> None:
    """Measure a router on labelled prompts: accuracy overall, recall and precision per domain.

    Exit status: 0 done, 2 the data or the head is wrong.
    """
    from modem.config import RouterConfig
    from modem.routing.load import load_router
    from modem.training.data import read_prompts

    try:
        prompts = read_prompts(data)
        router = load_router(RouterConfig(head=head, encoder=encoder))
    except ConfigError as error:
        fail(error)
    with _progress("scoring") as progress:
        found = _measure(router, prompts, threshold, progress)
    if as_json:
        identity = dataclasses.asdict(router.identity)
        typer.echo(json.dumps({"router": identity, **dataclasses.asdict(found)}, indent=2))
    else:
        _print_table(f"{router.identity.name} {router.identity.version} on {data}", found)


def fail(error: Exception) -> NoReturn:
    """Say what is wrong, without a traceback, and leave with the status for bad input."""
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(EXIT_CONFIG) from None


def _measure(
    router: "Router", prompts: "list[Prompt]", threshold: float, progress: Callable[[int, int], None]
) -> "Evaluation":
    """Score all prompts as they would be in service, and compare."""
    import numpy as np

    from modem.training.metrics import evaluate as compare

    rows: list[list[float]] = []
    for start in range(0, len(prompts), _CHUNK):
        scores = router.score([prompt.routed() for prompt in prompts[start : start + _CHUNK]])
        rows += [[found.scores[domain] for domain in router.domains] for found in scores]
        progress(len(rows), len(prompts))
    return compare(np.array(rows), [prompt.domain for prompt in prompts], router.domains, threshold)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr; yields what to call with the numbers done and of all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_table(title: str, found: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    from modem.training.card import percent

    table = Table(title=title, title_justify="left")
    for column in ("domain", "prompts", "recall", "precision"):
        table.add_column(column, justify="left" if column == "domain" else "right")
    for figures in found.domains:
        table.add_row(
            figures.domain, str(figures.num_prompts), percent(figures.recall), percent(figures.precision)
        )
    console = Console()
    console.print(table)
    console.print(
        f"accuracy {percent(found.accuracy)} of {found.num_prompts}; "
        f"{percent(found.coverage)} reach {found.threshold:g}, "
        f"of those {percent(found.covered_accuracy)} right",
        highlight=False,
    )


def _command(plan: "TrainingPlan", out: Path, card: Path) -> str:
    """Return the command that repeats a training, every setting spelled out."""
    words = ["modem", "router", "train", "--data", f"{plan.data}/", "--sources", str(plan.sources)]
    words += ["--out", str(out), "--card", str(card), "--encoder", plan.encoder]
    words += ["--cap-per-domain", str(plan.per_domain), "--cap-per-source", str(plan.per_source)]
    return shlex.join([*words, "--seed", str(plan.seed)])


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error

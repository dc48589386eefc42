"""``modem router``: train and measure routers."""

import datetime
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from modem.cli.progress import progress_bar
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.training.corpus import Corpus
    from modem.training.metrics import Evaluation

EXIT_CONFIG = 2

app = typer.Typer(help="Train and measure routers.", no_args_is_help=True)


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="The recipe.")] = Path("training/compact.yaml"),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with JSONL files of prompt, domain and source; from the hub by default."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; the router's name by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training.")] = False,
) -> None:
    """Train a router and write it with its figures, plots and the report of dropped prompts.

    Exit status: 0 done, 2 the recipe or the data is wrong.
    """
    from modem.training import figures, plots
    from modem.training.corpus import gather
    from modem.training.folder import write_json
    from modem.training.recipe import read_recipe
    from modem.training.run import train as run_training

    today = datetime.datetime.now(datetime.UTC).date()
    try:
        recipe = read_recipe(config)
        out = out or Path(recipe.name)
        typer.echo("gathering and comparing prompts ...", err=True)
        corpus = gather(recipe, config.parent, data)
        _print_corpus(corpus)
        trained = run_training(recipe, corpus, out, resume, today, _bar)
        write_json(out / "metrics.json", figures.metrics(trained, corpus, _command(config, data, out)))
        plots.draw(trained, out / "plots")
    except ConfigError as error:
        fail(error)
    for name, measured in trained.measured.items():
        _print_table(name, measured.figures)
    typer.echo(f"wrote {out} ({recipe.name} {trained.version})")


def fail(error: Exception) -> NoReturn:
    """Say what is wrong, without a traceback, and leave with the status for bad input."""
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(EXIT_CONFIG) from None


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr; yields what to call with numbers newly done."""
    from modem.evaluation.measure import counting

    with progress_bar(what) as progress:
        yield counting(progress, total)


def _print_table(title: str, found: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    from modem.evaluation.tables import percent

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
        f"accuracy {percent(found.accuracy)} of {found.num_prompts}, mean of domains {percent(found.macro)}, "
        f"calibration error {percent(found.ece)}; "
        f"{percent(found.coverage)} reach {found.threshold:g}, "
        f"of those {percent(found.covered_accuracy)} right",
        highlight=False,
    )


def _print_corpus(corpus: "Corpus") -> None:
    """Say on stderr what is learnt, before it takes its time."""
    sets = ", ".join(f"{name} {len(prompts)}" for name, prompts in corpus.measured_on().items())
    typer.echo(
        f"{len(corpus.learnt())} prompts to learn, {len(corpus.deduplicated.dropped)} repeats dropped; "
        f"measured on: {sets}",
        err=True,
    )
    if corpus.missing:
        typer.echo(f"without prompts: {', '.join(corpus.missing)}", err=True)


def _command(config: Path, data: Path | None, out: Path) -> str:
    """Return the command that repeats a training."""
    words = ["modem", "router", "train", "--config", str(config)]
    words += [] if data is None else ["--data", str(data)]
    return shlex.join([*words, "--out", str(out)])

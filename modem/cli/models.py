"""``modem models``: the small models that a laptop serves."""

from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from modem.errors import ConfigError
from modem.laptop import models

app = typer.Typer(name="models", help="Prepare the small models that a laptop serves.", no_args_is_help=True)


@app.command()
def prepare(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names as `modem models list` shows them; all without any.")
    ] = None,
) -> None:
    """Make models ready to serve. Done once; a second run only looks."""
    try:
        prepared = prepare_with_bar(names or list(models.MODELS), Console(stderr=True))
    except ConfigError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    for item in prepared:
        took = f"prepared in {item.seconds:.0f} s" if item.seconds else "was ready"
        typer.echo(f"{item.model.source}: {took}: {item.folder}")


@app.command("list")
def list_models() -> None:
    """Show every known model, and where it is if it is prepared."""
    table = Table("model", "size", "licence", "prepared in")
    for model in models.MODELS.values():
        where = str(models.model_folder(model)) if models.is_prepared(model) else "-"
        table.add_row(model.source, f"{model.prepared_bytes / 1e6:.0f} MB", model.licence, where)
    Console(width=None if Console().is_terminal else 200).print(table)


def prepare_with_bar(names: list[str], console: Console) -> list[models.Prepared]:
    """Prepare models under a progress bar.

    Args:
        names: As for `modem.laptop.models.prepare`.
        console: Where the bar goes.

    Raises:
        ConfigError: As there.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("models", total=None)

        def show(what: str, step: int, num_steps: int) -> None:
            bar.update(task, description=what, completed=max(step - 1, 0), total=num_steps)
            if not console.is_terminal:
                console.print(f"[{step}/{num_steps}] {what}", markup=False)

        return models.prepare(names, show)

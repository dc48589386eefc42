"""``modem load compare``: two recorded load tests side by side."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modem.cli.load_report import NEEDS_EXTRA
from modem.cli.router import fail
from modem.cli.router_eval import show
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.load.compare import Comparison


def compare_command(
    a: Annotated[Path, typer.Argument(help="Folder of the first run.")],
    b: Annotated[Path, typer.Argument(help="Folder of the second run, that is judged against the first.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of the bootstrap.")] = 0,
) -> None:
    """Show what differs between two runs, with 95 % intervals from within the runs.

    Exit status: 0 done, 2 a folder is wrong.
    """
    try:
        comparison = _compared(a, b, seed)
    except ConfigError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps(_json(comparison, a, b), indent=1, allow_nan=False))
        return
    from modem.load.tables import comparison_tables

    show([f"A: {a} ({comparison.a.name})", f"B: {b} ({comparison.b.name})", *comparison_tables(comparison)])
    show([*comparison.notes, _CHANCE])


_CHANCE = (
    "intervals are of chance within these two runs: one figure in twenty differs by chance, "
    "and two runs of one server can differ by more; repeat what matters"
)


def _compared(a: Path, b: Path, seed: int) -> "Comparison":
    try:
        from modem.load.compare import compare
        from modem.load.run import read_run
    except ModuleNotFoundError as error:
        raise ConfigError(f"load tests: {error}; run: {NEEDS_EXTRA}") from error
    return compare(read_run(a), read_run(b), seed)


def _json(comparison: "Comparison", a: Path, b: Path) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "a": str(a),
        "b": str(b),
        "rows": [asdict(row) for row in comparison.rows],
        "notes": list(comparison.notes),
    }

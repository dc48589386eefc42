"""``modem load report``: what a recorded load test says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.router import fail
from modem.cli.router_eval import show
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.load.report import Report

NEEDS_EXTRA = "pip install 'modem[load]'"


def report_command(
    folder: Annotated[Path, typer.Argument(help="Of a run, as 'modem load run' wrote it.")],
    slo: Annotated[
        str | None,
        typer.Option(
            help="What is demanded of each domain and of all: ttft_p99<2s,error_rate<0.1%; "
            "math:ttft_p99<1s for one domain."
        ),
    ] = None,
) -> None:
    """Write the figures, plots, page and exports of a recorded run anew, and print its tables.

    Exit status: 0 good, 1 an SLO is missed, 2 the folder or an option is wrong or nothing was recorded, 3 not
    certified: the client was part of what it measured.
    """
    try:
        report = written(folder, slo)
    except ConfigError as error:
        fail(error)
    show_report(report)
    raise typer.Exit(report.status)


def written(folder: Path, slo: str | None) -> "Report":
    """Return the report of a run, written.

    Raises:
        ConfigError: See `modem.load.report.write_report`; or a package is missing.
    """
    try:
        from modem.load.report import write_report
    except ModuleNotFoundError as error:
        raise ConfigError(f"load tests: {error}; run: {NEEDS_EXTRA}") from error
    return write_report(folder, slo)


def show_report(report: "Report") -> None:
    """Print the tables of a run, what was demanded, and whether it counts."""
    from modem.load.tables import certificate_lines, checks_table, tables

    summary = report.summary
    show([*tables(summary), *(f"{number} x {text}" for text, number in summary.errors)])
    if report.checks:
        show([checks_table(report.checks)])
    show([*summary.notes, *report.notes, *certificate_lines(report.certificate)])
    typer.echo(f"wrote {report.files[0]}")

"""``modem load``: load tests of a mixture, their reports, and comparisons of them."""

import typer

from modem.cli import load_compare, load_list, load_report, load_run

app = typer.Typer(
    help="Load tests of a mixture: run one, report what was recorded, compare two.", no_args_is_help=True
)

app.command(name="run")(load_run.run_command)
app.command(name="list")(load_list.list_command)
app.command(name="report")(load_report.report_command)
app.command(name="compare")(load_compare.compare_command)

"""A simulation as one HTML page that needs nothing else: tables, notes, and the plots inside it."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from modem.evaluation.tables import Table
from modem.simulation.report import notes, tables
from modem.simulation.result import SimulationResult
from modem.simulation.summary import Summary

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0 0 .3rem; } caption { text-align: left; font-weight: 600; }
th, td { padding: .15rem .8rem .15rem 0; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } img { max-width: 100%; } p.note { color: #555; }
tr:last-child td { font-weight: 600; } code { background: #f4f4f4; padding: .1rem .3rem; }
"""


def render(result: SimulationResult, summary: Summary, command: str, plots: Sequence[Path]) -> str:
    """Return the page.

    Args:
        result: The simulation.
        summary: Its figures.
        command: What made it, as it would be typed.
        plots: PNG files to put in.
    """
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>modem simulate</title>',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>Simulated autoscaling</h1>",
        f"<p><code>{escape(command)}</code></p>",
        *(f'<p class="note">{escape(line)}</p>' for line in notes(result)),
        *(_table(table) for table in tables(summary)),
        *(_image(path) for path in plots),
        "<h2>Where the profiles are from</h2>",
        *(
            f"<p><b>{escape(name)}</b> ({source}): {escape(method)}</p>"
            for name, source, method in dict.fromkeys(
                (e.profile.name, e.profile.source, e.profile.method) for e in result.experts
            )
        ),
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{data}"></p>'

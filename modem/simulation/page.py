"""A simulation as one HTML page that needs nothing else: tables, notes, and the plots inside it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from modem import htmlpage
from modem.simulation.report import notes, tables
from modem.simulation.result import SimulationResult
from modem.simulation.summary import Summary


def render(result: SimulationResult, summary: Summary, command: str, plots: Sequence[Path]) -> str:
    """Return the page.

    Args:
        result: The simulation.
        summary: Its figures.
        command: What made it, as it would be typed.
        plots: PNG files to put in.
    """
    parts = [
        htmlpage.heading("Simulated autoscaling", 1),
        htmlpage.code(command),
        *(htmlpage.paragraph(line, "note") for line in notes(result)),
        *(htmlpage.table(table) for table in tables(summary)),
        *(htmlpage.image(path) for path in plots),
        htmlpage.heading("Where the profiles are from"),
        *(
            f"<p><b>{escape(name)}</b> ({source}): {escape(method)}</p>"
            for name, source, method in dict.fromkeys(
                (e.profile.name, e.profile.source, e.profile.method) for e in result.experts
            )
        ),
    ]
    return htmlpage.document("modem simulate", parts)

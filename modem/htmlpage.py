"""One HTML page that needs nothing else: its style, tables, and images are inside it."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from modem.evaluation.tables import Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0 .3rem; } caption { text-align: left; font-weight: 600; }
th, td { padding: .15rem .8rem .15rem 0; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } img { max-width: 100%; } p.note { color: #555; }
tr.total td { font-weight: 600; } code { background: #f4f4f4; padding: .1rem .3rem; }
p.good, p.bad { padding: .4rem .8rem; border-left: .3rem solid #2a7; background: #f3faf6; }
p.bad { border-color: #c33; background: #fdf3f3; }
"""

TOTAL = "all"
"""A row of a table that begins with it adds up the others."""


def document(title: str, parts: Iterable[str]) -> str:
    """Return the page.

    Args:
        title: Plain text.
        parts: HTML.
    """
    lines = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{_STYLE}</style></head><body>",
        *parts,
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def paragraph(text: str, kind: str = "") -> str:
    """Return plain text as a paragraph of a kind: ``note``, ``good``, ``bad`` or none."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """Return plain text as a heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def code(text: str) -> str:
    """Return a command as a paragraph."""
    return f"<p><code>{escape(text)}</code></p>"


def table(shown: Table) -> str:
    """Return a table."""
    head = "".join(f"<th>{escape(name)}</th>" for name in shown.header)
    rows = "".join(_row(row) for row in shown.rows)
    note = paragraph(shown.note, "note") if shown.note else ""
    caption = f"<caption>{escape(shown.title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def image(path: Path) -> str:
    """Return a PNG file, put into the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{data}"></p>'


def _row(cells: Sequence[str]) -> str:
    begin = '<tr class="total">' if cells[0] == TOTAL else "<tr>"
    return begin + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"

"""Tables for people, written once and shown as Markdown or in a terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_FIGURE_CHARS = 30
"""A cell that is longer is a sentence."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        title: Above it.
        header: Names of the columns.
        rows: As long as the header each.
        note: Below it; empty for none.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def make_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> Table:
    """Return a table of any rows of text."""
    return Table(title, tuple(header), tuple(tuple(row) for row in rows), note)


def to_markdown(table: Table, level: int = 2) -> str:
    """Write a table as Markdown under a heading of that level."""
    parts = [f"{'#' * level} {table.title}", markdown_rows(table.header, table.rows)]
    return "\n\n".join([*parts, *([table.note] if table.note else [])])


def markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write rows as Markdown; a bar or a line break inside a cell would end it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def to_rich(table: Table) -> "RichTable":
    """Return the table for a terminal: figures to the right, text to the left."""
    from rich.table import Table as RichTable

    shown = RichTable(title=table.title, title_justify="left", caption=table.note or None)
    for index, name in enumerate(table.header):
        long = max((len(row[index]) for row in table.rows), default=0) > _FIGURE_CHARS
        shown.add_column(name, justify="right" if index and not long else "left", no_wrap=not index)
    for row in table.rows:
        shown.add_row(*row)
    return shown


def percent(share: float | None) -> str:
    """Format a share in [0, 1]; a dash for one that does not exist."""
    return "-" if share is None else f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """Format a difference in points; a difference that rounds to nothing has no sign."""
    return f"{round(difference, 1) + 0.0:.1f}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

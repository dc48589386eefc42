"""The table that `modem load run` shows while it runs; plain lines where nobody looks."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from modem.load.progress import Progress, Row

TABLE_PERIOD_S = 1.0
LINE_PERIOD_S = 10.0
_COLUMNS = (
    *("domain", "sent", "in flight", "ok", "failed", "misrouted"),
    *("TTFT p50", "TTFT p99", "tokens/s", "replicas"),
)


def follow(progress: "Progress", title: str, console: "Console", is_over: Callable[[], bool]) -> None:
    """Show how a run stands until it is over.

    It reads what the load generator writes, in a process of its own: drawing a table takes longer than a
    token, and would stop the generator's clocks.

    Args:
        progress: Of the run.
        title: Above the table.
        console: Where to show it.
        is_over: Whether to stop; asked some times a second.
    """
    if console.is_terminal:
        _table(progress, title, console, is_over)
    else:
        _lines(progress, console, is_over)


def table(progress: "Progress", title: str) -> "Table":
    """Return the table of this moment."""
    from rich.table import Table

    found = Table(title=title, title_justify="left", caption=_client(progress), caption_justify="left")
    for column in _COLUMNS:
        found.add_column(column, justify="left" if column == "domain" else "right")
    for domain, row in sorted(progress.rows.items()):
        found.add_row(domain, *_cells(row, progress.now_s))
    return found


def line(progress: "Progress") -> str:
    """Return this moment in one line."""
    rows = progress.rows.values()
    sent, ended = sum(row.num_sent for row in rows), sum(row.num_ended for row in rows)
    ok = sum(row.outcomes["ok"] for row in rows)
    return (
        f"{progress.now_s:6.1f} s: {sent} sent, {max(sent - ended, 0)} in flight, {ok} ok, "
        f"{ended - ok} failed, {sum(row.num_misrouted for row in rows)} misrouted"
    )


def _table(progress: "Progress", title: str, console: "Console", is_over: Callable[[], bool]) -> None:
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:
        over = False
        while not over:
            over = _wait(is_over, TABLE_PERIOD_S)
            progress.look()
            live.update(table(progress, title), refresh=True)


def _lines(progress: "Progress", console: "Console", is_over: Callable[[], bool]) -> None:
    over = False
    while not over:
        over = _wait(is_over, LINE_PERIOD_S)
        progress.look()
        if progress.rows:
            console.print(line(progress), highlight=False)


def _wait(is_over: Callable[[], bool], period_s: float) -> bool:
    """Return at the end of the period, or before if it is over; say whether it is."""
    until_s = time.monotonic() + period_s
    while not (over := is_over()) and time.monotonic() < until_s:
        time.sleep(0.1)
    return over


def _cells(row: "Row", now_s: float) -> list[str]:
    failed = ", ".join(f"{number} {name}" for name, number in sorted(row.outcomes.items()) if name != "ok")
    return [
        str(row.num_sent),
        str(row.num_in_flight),
        str(row.outcomes["ok"]),
        failed or "0",
        str(row.num_misrouted),
        _ms(row.ttft_percentile_s(50)),
        _ms(row.ttft_percentile_s(99)),
        f"{row.tokens_per_s(now_s):.0f}",
        "" if row.replicas is None else f"{row.replicas} {row.state if row.state != 'ready' else ''}".strip(),
    ]


def _client(progress: "Progress") -> str:
    return (
        f"{progress.now_s:.0f} s · sent at most {1000 * progress.late_max_s:.0f} ms late, "
        f"event loop at most {1000 * progress.lag_max_s:.0f} ms behind"
    )


def _ms(time_s: float | None) -> str:
    return "" if time_s is None else f"{1000 * time_s:.0f} ms"

"""The figures of a load test in tables for people."""

from collections.abc import Callable, Sequence

from modem.evaluation.tables import Table, make_table, percent
from modem.load.certificate import LATE_S, Certificate
from modem.load.compare import Comparison, Difference, Interval
from modem.load.gate import Check
from modem.load.outcome import FAILURES, MEANINGS
from modem.load.percentiles import Spread
from modem.load.run import CLOSED_NOTE
from modem.load.summary import Summary

_FEW = 100
NUM_NAMED = 10
"""Of the late sends in a line of text."""
_LATENCIES = (
    ("TTFT", "ttft_s"),
    ("ITL", "itl_s"),
    ("TPOT", "tpot_s"),
    ("end to end", "e2e_s"),
)
_FIRSTS = (
    ("first byte", "first_byte_s"),
    ("first token", "first_token_s"),
    ("first content", "ttft_s"),
    ("first content, from the actual send", "ttft_from_sent_s"),
    ("sent late by", "late_s"),
)


def duration(value_s: float | None) -> str:
    """Format seconds, small ones in milliseconds; a dash for None."""
    if value_s is None:
        return "-"
    if abs(value_s) < 0.9995:
        return f"{1000 * value_s + 0.0:.3g} ms"
    return f"{value_s:.3g} s" if abs(value_s) < 999.5 else f"{value_s:.0f} s"


def tables(summary: Summary) -> list[Table]:
    """Return all tables of a run: work, latencies, what came first, failures, routes, steps."""
    found = [_work(summary), _latencies(summary), _firsts(summary)]
    found += [_failures(summary)] if summary.total.num_failed else []
    found += [_routes(summary)] if summary.routes else []
    found += [_steps(summary)] if summary.steps else []
    return found


def checks_table(checks: Sequence[Check]) -> Table:
    """Return what was demanded and what was found."""
    rows = [
        (check.condition, check.domain, check.found, "held" if check.passed else "MISSED") for check in checks
    ]
    return make_table("Demanded (--slo)", ("condition", "domain", "found", "verdict"), rows)


def certificate_lines(certificate: Certificate) -> list[str]:
    """Return whether the client kept up, and how it was measured."""
    late = certificate.lateness
    lines = (
        ["certified: the client kept up with its plan"]
        if certificate.ok
        else ["NOT CERTIFIED: the client was part of what it measured; its figures are not the server's"]
    )
    lines += [f"  {reason}" for reason in certificate.reasons]
    parts = [f"sends: 99 % within {duration(late.p99_s)}, the latest by {duration(late.worst_s)}"]
    if certificate.stalled_share is not None:
        parts += [
            f"event loop: mean lag {duration(certificate.lag_mean_s)}, "
            f"stalled {percent(certificate.stalled_share)} of the time",
            f"CPU: {percent(certificate.cpu_share)} of a core",
        ]
    lines.append("; ".join(parts))
    if late.num_late:
        which = ", ".join(map(str, late.late[:NUM_NAMED]))
        more = ", ... (all in summary.json)" if len(late.late) > NUM_NAMED else ""
        lines.append(f"{late.num_late} sent more than {duration(LATE_S)} late: in the plan {which}{more}")
    return lines


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return one table for all together and one for each domain."""
    header = ("figure", "A", "B", "B - A", "95 %", "B / A", "95 %", "B is")
    domains = dict.fromkeys(row.domain for row in comparison.rows)
    closed = comparison.a.is_closed or comparison.b.is_closed
    return [
        make_table(
            _title(f"{domain}: B against A", closed),
            header,
            [_comparison_row(row) for row in comparison.rows if row.domain == domain],
        )
        for domain in domains
    ]


def _title(text: str, is_closed: bool) -> str:
    return f"{text} ({CLOSED_NOTE})" if is_closed else text


def _work(summary: Summary) -> Table:
    header = (
        "domain",
        "requests",
        "answered",
        "failed",
        "misrouted",
        "offered/s",
        "answered/s",
        "goodput/s",
        "good",
        "output tokens/s",
    )
    rows = [
        (
            name,
            str(x.num_requests),
            str(x.num_ok),
            percent(x.error_rate),
            percent(x.misrouted_rate),
            f"{x.offered_rps:.3g}",
            f"{x.completed_rps:.3g}",
            f"{x.goodput_rps:.3g}",
            percent(x.share_good),
            f"{x.output_tokens_per_s:.4g}",
        )
        for name, x in summary.rows
    ]
    note = f"good: {summary.targets}; rows by intended domain"
    return make_table(_title("Work", summary.is_closed), header, rows, note)


def _latencies(summary: Summary) -> Table:
    header = ("domain", *(f"{name} p50 / p90 / p99" for name, _ in _LATENCIES))
    rows = [(name, *(_spread(getattr(x, key)) for _, key in _LATENCIES)) for name, x in summary.rows]
    note = "of answers that came to their end, from the intended send"
    few = [name for name, x in summary.rows if 0 < x.num_ok < _FEW]
    if few:
        note += f"; {', '.join(few)}: fewer than {_FEW} answers, so p99 is about the slowest one"
    return make_table(_title("Latencies", summary.is_closed), header, rows, note)


def _firsts(summary: Summary) -> Table:
    header = ("domain", *(f"{name} p50 / p99" for name, _ in _FIRSTS))
    rows = [(name, *(_spread(getattr(x, key), False) for _, key in _FIRSTS)) for name, x in summary.rows]
    return make_table(_title("What came first", summary.is_closed), header, rows)


def _failures(summary: Summary) -> Table:
    kinds = [kind for kind in FAILURES if kind in summary.total.failures]
    rows = [(name, *(str(x.failures.get(kind, 0)) for kind in kinds)) for name, x in summary.rows]
    note = "; ".join(f"{kind}: {MEANINGS[kind]}" for kind in kinds)
    return make_table(_title("Failures", summary.is_closed), ("domain", *kinds), rows, note)


def _routes(summary: Summary) -> Table:
    names = list(dict.fromkeys(route.routed for route in sorted(summary.routes, key=lambda x: x.routed)))
    counts = {(route.intended, route.routed): route.num_requests for route in summary.routes}
    intended = dict.fromkeys(route.intended for route in summary.routes)
    rows = [(each, *(str(counts.get((each, name), 0)) for name in names)) for each in intended]
    title = _title("Who answered: intended in rows", summary.is_closed)
    return make_table(title, ("intended", *names), rows)


def _steps(summary: Summary) -> Table:
    header = ("from", "planned/s", "offered/s", "goodput/s", "good", "TTFT p99", "")
    rows = [
        (
            f"{step.start_s:g} s",
            f"{step.planned_rps:.3g}",
            f"{step.offered_rps:.3g}",
            f"{step.goodput_rps:.3g}",
            percent(step.share_good),
            duration(step.ttft_p99_s),
            "too short" if not step.counts else "holds" if step.holds else "does not hold",
        )
        for step in summary.steps
    ]
    note = summary.knee.verdict if summary.knee else ""
    return make_table(_title("Steps", summary.is_closed), header, rows, note)


def _spread(spread: Spread, with_p90: bool = True) -> str:
    values = (spread.p50, spread.p90, spread.p99) if with_p90 else (spread.p50, spread.p99)
    return " / ".join(map(duration, values)) if spread.num else "-"


def _comparison_row(row: Difference) -> Sequence[str]:
    is_share = row.figure in ("error_rate", "goodput")
    show = percent if is_share else duration
    return (
        row.figure,
        show(row.a),
        show(row.b),
        ("+" if (row.difference or 0) > 0 else "") + show(row.difference),
        _interval(row.difference_interval, show),
        "-" if row.ratio is None else f"{row.ratio:.3f}",
        _interval(row.ratio_interval, lambda value: f"{value:.3f}"),
        row.verdict,
    )


def _interval(interval: Interval, show: Callable[[float | None], str]) -> str:
    if interval.low is None or interval.high is None:
        return "-"
    return f"{show(interval.low)} to {show(interval.high)}"

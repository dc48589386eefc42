"""A load test as one HTML page that needs nothing else."""

from collections.abc import Sequence
from pathlib import Path

from modem import htmlpage
from modem.evaluation.tables import make_table
from modem.load.certificate import Certificate
from modem.load.gate import Check
from modem.load.run import CLOSED_NOTE, Run
from modem.load.summary import Summary
from modem.load.tables import certificate_lines, checks_table, duration, tables

_WORDS = (
    ("TTFT", "time to first token: from the intended send to the first text that a reader would see"),
    ("ITL", "inter-token latency: every gap between two pieces of text, of all answers together"),
    (
        "TPOT",
        "time per output token after the first: a mean for each answer, by `usage`",
    ),
    ("end to end", "from the intended send to the end of the answer"),
    ("intended send", "when the plan wanted the request sent, whether the client managed to or not"),
    ("goodput", "requests a second that were answered within all targets"),
    ("p99", "99 of 100 were not larger; of answers only, failures are counted apart"),
)


def render(
    run: Run,
    summary: Summary,
    certificate: Certificate,
    checks: Sequence[Check],
    plots: Sequence[Path],
) -> str:
    """Return the page.

    Args:
        run: The run.
        summary: Its figures.
        certificate: Whether the client kept up.
        checks: What was demanded; empty without.
        plots: PNG files to put in.
    """
    info = run.info
    name = f"Load test: {summary.name}"
    parts = [
        htmlpage.heading(f"{name} ({CLOSED_NOTE})" if summary.is_closed else name, 1),
        *([htmlpage.paragraph(run.settings.description)] if run.settings.description else []),
        *([htmlpage.code(info.command)] if info.command else []),
        htmlpage.paragraph(_facts(run, summary), "note"),
        *(htmlpage.paragraph(note, "bad") for note in summary.notes),
        *(htmlpage.paragraph(line, _kind(certificate.ok)) for line in certificate_lines(certificate)),
        *([htmlpage.table(checks_table(checks))] if checks else []),
        *(htmlpage.table(table) for table in tables(summary)),
        *_errors(summary),
        *(htmlpage.image(path) for path in plots),
        htmlpage.heading("What the words mean"),
        htmlpage.table(make_table("", ("word", "meaning"), _WORDS)),
    ]
    return htmlpage.document(name, parts)


def _facts(run: Run, summary: Summary) -> str:
    info = run.info
    versions = ", ".join(f"{name} {version}" for name, version in sorted(info.versions.items()))
    parts = [
        f"to {info.host}" if info.host else "",
        f"started {info.started_at}" if info.started_at else "",
        f"requests sent for {duration(summary.span_s)}, last answer after {duration(summary.elapsed_s)}",
        f"{info.num_workers} worker{'s' if info.num_workers > 1 else ''}",
        f"seed {run.settings.seed}",
        versions,
    ]
    return "; ".join(part for part in parts if part)


def _kind(fine: bool) -> str:
    return "good" if fine else "bad"


def _errors(summary: Summary) -> list[str]:
    if not summary.errors:
        return []
    rows = [(text, str(number)) for text, number in summary.errors]
    return [htmlpage.table(make_table("The most frequent failures", ("message", "requests"), rows))]

"""All that is made of a recorded run: figures, plots, a page, exports, and the exit status."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modem.errors import ConfigError
from modem.load.certificate import Certificate, certify
from modem.load.gate import Check, check, parse_gate, status
from modem.load.recorded import recorded_trace
from modem.load.run import CLOSED_NOTE, Run, read_run
from modem.load.summary import Summary, summarise
from modem.load.vllm_bench import vllm_bench
from modem.traces import jsonl

PAGE, FIGURES, BENCH, TRACE = "report.html", "summary.json", "vllm_bench.json", "trace.jsonl"


@dataclass(frozen=True, slots=True)
class Report:
    """What was made of a run.

    Attributes:
        folder: Where it lies.
        summary: Its figures.
        certificate: Whether they are the server's.
        checks: What ``--slo`` demanded; empty without.
        files: What was written, in the order of its worth to a reader.
        notes: What was guessed or left out on the way.
    """

    folder: Path
    summary: Summary
    certificate: Certificate
    checks: tuple[Check, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def status(self) -> int:
        """0 good, 1 an SLO is missed, 3 the client was the bottleneck."""
        return status(self.checks, self.certificate)


def write_report(folder: Path, slo: str | None = None) -> Report:
    """Read a run and write ``summary.json``, ``report.html``, plots and exports beside it.

    Args:
        folder: Of the run.
        slo: What is demanded of it; see `modem.load.gate`.

    Raises:
        ConfigError: The folder, a file of it, or ``slo`` is wrong, nothing was recorded, a file cannot be
            written, or matplotlib is missing.
    """
    conditions = parse_gate(slo) if slo is not None else ()
    run = read_run(folder)
    summary, certificate = summarise(run), certify(run)
    checks = check(conditions, run, summary)
    exported, notes = _exports(run, summary)
    figures = to_json(run, summary, certificate, checks)
    _write(folder / FIGURES, json.dumps(figures, indent=1, allow_nan=False))
    page, plots = _page(run, summary, certificate, checks)
    files = (page, folder / FIGURES, *exported, *plots)
    return Report(folder, summary, certificate, checks, files, notes)


def to_json(
    run: Run, summary: Summary, certificate: Certificate, checks: Iterable[Check] = ()
) -> dict[str, Any]:
    """Return ``summary.json``: all figures but the single requests, in seconds and shares."""
    info = run.info
    return {
        "scenario": summary.name,
        "loop": CLOSED_NOTE if summary.is_closed else "open loop",
        "host": info.host,
        "started_at": info.started_at,
        "command": info.command,
        "versions": dict(info.versions),
        "seed": run.settings.seed,
        "num_workers": info.num_workers,
        "ended": info.ended,
        "targets": summary.targets,
        "span_s": summary.span_s,
        "elapsed_s": summary.elapsed_s,
        "certificate": asdict(certificate),
        "slo": [asdict(found) for found in checks],
        "total": asdict(summary.total),
        "domains": {name: asdict(figures) for name, figures in summary.domains},
        "routes": [asdict(route) for route in summary.routes],
        "steps": [asdict(step) for step in summary.steps],
        "knee": asdict(summary.knee) if summary.knee else None,
        "errors": dict(summary.errors),
        "notes": list(summary.notes),
    }


def _exports(run: Run, summary: Summary) -> tuple[list[Path], tuple[str, ...]]:
    bench, trace = run.folder / BENCH, run.folder / TRACE
    _write(bench, json.dumps(vllm_bench(run, summary), allow_nan=False))
    recorded = recorded_trace(run)
    if recorded is None:
        return [bench], (f"no {TRACE}: no answer told how long it was",)
    jsonl.write(trace, recorded.trace)
    if not recorded.num_guessed:
        return [bench, trace], ()
    guessed = f"{TRACE}: {recorded.num_guessed} of {len(run.records)} requests told no length and got the "
    return [bench, trace], (guessed + "median of their domain",)


def _page(
    run: Run, summary: Summary, certificate: Certificate, checks: tuple[Check, ...]
) -> tuple[Path, list[Path]]:
    from modem.load.page import render
    from modem.load.plots import draw

    try:
        plots = draw(run, summary, run.folder)
    except OSError as error:
        raise ConfigError(f"{run.folder}: plots cannot be written: {error.strerror}") from error
    page = run.folder / PAGE
    _write(page, render(run, summary, certificate, checks, plots))
    return page, plots


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error

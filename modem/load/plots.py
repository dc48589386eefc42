"""Plots of a load test. Those over time have the same axis, from 0 to the last answer."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modem.load.certificate import LATE_S, STALL_S
from modem.load.columns import Floats
from modem.load.curves import expert, percentiles, rates, window_s
from modem.load.goodput import limits, times
from modem.load.knee import HOLDS_SHARE
from modem.load.outcome import FAILURES, OUTCOMES
from modem.load.run import CLOSED_NOTE, Run
from modem.load.summary import Summary
from modem.plotting import save_plots
from modem.slo import parse_slo

_WIDE, _WIDE_TWO, _SMALL = (9.0, 3.2), (9.0, 5.2), (6.0, 4.0)
_SIDE = {"fontsize": 7, "loc": "center left", "bbox_to_anchor": (1.1, 0.5), "frameon": False}


def draw(run: Run, summary: Summary, folder: Path) -> list[Path]:
    """Write all plots; returns their files in the order in which they are to be read.

    Raises:
        ConfigError: matplotlib is missing.
    """
    title = partial(_title, is_closed=summary.is_closed)
    save = partial(save_plots, folder, extra="load")
    files = save({"requests": partial(draw_requests, run=run, title=title("Requests"))}, size=_WIDE)
    experts = {
        f"{_file(domain)}-time": partial(draw_domain, run=run, domain=domain, title=title(domain))
        for domain in run.records.domains
    }
    files += save(experts, size=_WIDE_TWO, num_axes=2)
    small: dict[str, Callable[[Any], None]] = {
        "ttft": partial(draw_cdf, run=run, title=title("Time to first token"))
    }
    if summary.steps:
        small["saturation"] = partial(draw_saturation, summary=summary, title=title("Saturation"))
    files += save(small, size=_SMALL)
    return files + save({"client": partial(draw_client, run=run)}, size=_WIDE_TWO, num_axes=2)


def draw_requests(axes: Any, run: Run, title: str) -> None:
    """Draw requests a second of each intended domain, stacked, and the failures among them."""
    records, span_s = run.records, run.span_s
    length_s = window_s(span_s)
    below = np.zeros(0)
    for position, domain in enumerate(records.domains):
        edges, found = rates(records.intended_s[records.domain == position], length_s, span_s)
        below = below if len(below) else np.zeros(len(found))
        axes.stairs(below + found, edges, baseline=below, fill=True, color=f"C{position}", label=domain)
        below = below + found
    for number, kind in enumerate(FAILURES):
        failed = records.outcome == OUTCOMES.index(kind)
        if failed.any():
            edges, found = rates(records.intended_s[failed], length_s, span_s)
            axes.stairs(found, edges, color="black", linestyle=(0, (1 + number, 1)), label=kind)
    axes.set(xlabel="seconds", ylabel="requests/s", title=title, xlim=(0, run.elapsed_s))
    axes.legend(**_SIDE)


def draw_domain(axes: Any, run: Run, domain: str, title: str) -> None:
    """Draw one domain's times to first token above its expert's replicas and queue."""
    above, under = axes
    records = run.records
    own = records.domain == records.names.index(domain)
    found = percentiles(records.intended_s[own], times(records).ttft_s[own], window_s(run.span_s))
    above.plot(found.t_s, found.p50, color="C0", marker=".", markersize=3, label="p50")
    above.plot(found.t_s, found.p99, color="C1", marker=".", markersize=3, label="p99")
    limit_s = {limit.metric: limit.most_s for limit in limits(parse_slo(run.settings.targets))}.get("ttft")
    if limit_s is not None:
        above.axhline(limit_s, color="C3", linestyle="--", linewidth=1, label="target")
    failed_s = records.intended_s[own & ~records.ok]
    if len(failed_s):
        above.plot(failed_s, np.full(len(failed_s), 0.02), "|", color="black", label="failed", **_foot(above))
    above.set(ylabel="time to first token, s", title=title, yscale="log", xlim=(0, run.elapsed_s))
    above.legend(**_SIDE)
    _draw_expert(under, run, domain)


def _draw_expert(axes: Any, run: Run, domain: str) -> None:
    found = expert(run.cluster, domain)
    axes.set(xlabel="seconds", ylabel="requests")
    if not len(found.t_s):
        axes.text(0.5, 0.5, "the server told nothing of its experts", ha="center", **_middle(axes))
        return
    replicas = axes.twinx()
    _steps(axes, found.t_s, found.running, color="C0", label="running")
    _steps(axes, found.t_s, found.waiting, color="C1", label="waiting")
    _steps(replicas, found.t_s, found.replicas, color="C2", label="replicas (right)", linestyle="--")
    replicas.set_ylabel("replicas")
    for each in (axes, replicas):
        each.set_ylim(bottom=0)
    handles, labels = (
        a + b for a, b in zip(*(x.get_legend_handles_labels() for x in (axes, replicas)), strict=True)
    )
    axes.legend(handles, labels, **_SIDE)


def draw_cdf(axes: Any, run: Run, title: str) -> None:
    """Draw, for each domain, which share of *all* requests had its first token within a time.

    A curve ends below 1 by the share that failed.
    """
    records = run.records
    ttft_s = times(records).ttft_s
    for position, domain in enumerate(records.domains):
        own = ttft_s[records.domain == position]
        known = np.sort(own[~np.isnan(own)])
        axes.step(known, np.arange(1, len(known) + 1) / len(own), where="post", label=domain)
    axes.set(xlabel="seconds", ylabel="share of all requests", title=title, xscale="log", ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def draw_saturation(axes: Any, summary: Summary, title: str) -> None:
    """Draw goodput against the offered rate of each step, and the knee."""
    steps = sorted((step for step in summary.steps if step.counts), key=lambda step: step.offered_rps)
    offered = [step.offered_rps for step in steps]
    most = max(offered, default=1.0)
    axes.plot([0, most], [0, HOLDS_SHARE * most], color="0.7", linestyle="--", label="95 % of the offered")
    axes.plot(offered, [step.goodput_rps for step in steps], marker="o", label="goodput")
    if summary.knee is not None and summary.knee.rps is not None:
        axes.axvline(summary.knee.rps, color="C3", linewidth=1, label=f"knee: {summary.knee.rps:.3g}/s")
    axes.set(xlabel="offered requests/s", ylabel="good requests/s", title=title)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)


def draw_client(axes: Any, run: Run) -> None:
    """Draw how late the client was, and how busy its event loops were."""
    above, under = axes
    records = run.records
    above.plot(records.intended_s, 1000 * records.late_s, ".", markersize=2, color="C0", label="a request")
    above.axhline(1000 * LATE_S, color="C3", linestyle="--", linewidth=1, label="late")
    above.set(ylabel="sent late by, ms", title="The client itself", xlim=(0, run.elapsed_s))
    above.legend(**_SIDE)
    cpu = under.twinx()
    for number, worker in enumerate(sorted({sample.worker for sample in run.client})):
        own = [sample for sample in run.client if sample.worker == worker]
        t_s = [sample.t_s for sample in own]
        lag_ms = [1000 * sample.lag_max_s for sample in own]
        under.plot(t_s, lag_ms, color=f"C{number}", linewidth=1, label=f"lag of worker {worker}")
        cpu.plot(t_s, [sample.cpu_share for sample in own], color=f"C{number}", linewidth=1, linestyle=":")
    under.axhline(1000 * STALL_S, color="C3", linestyle="--", linewidth=1, label="stall")
    under.set(xlabel="seconds", ylabel="longest lag in a second, ms")
    cpu.set(ylabel="CPU, cores (dotted)", ylim=(0, 1.05))
    under.set_ylim(bottom=0)
    under.legend(**_SIDE)


def _steps(axes: Any, t_s: Floats, values: Floats, **style: Any) -> None:
    if not np.isnan(values).all():
        axes.step(t_s, values, where="post", linewidth=1.2, **style)


def _foot(axes: Any) -> dict[str, Any]:
    """Return where a height is a share of the plot's, whatever its scale."""
    return {"transform": axes.get_xaxis_transform()}


def _middle(axes: Any) -> dict[str, Any]:
    return {"transform": axes.transAxes, "color": "0.5"}


def _file(domain: str) -> str:
    return re.sub(r"[^\w.-]", "_", domain)


def _title(text: str, is_closed: bool) -> str:
    return f"{text} ({CLOSED_NOTE})" if is_closed else text

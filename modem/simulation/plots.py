"""Plots of a simulation: for each domain, replicas against demand and the times to first token."""

from functools import partial
from pathlib import Path
from typing import Any

from modem.plotting import Drawing, save_plots
from modem.simulation.result import ExpertHistory, SimulationResult
from modem.simulation.summary import Targets
from modem.simulation.timeline import Steps, Timeline, timelines

SIZE = (9.0, 3.2)
"""Inches of a plot: time needs width."""


def draw(result: SimulationResult, targets: Targets, folder: Path) -> list[Path]:
    """Write two plots for each domain; returns their files.

    Raises:
        ConfigError: matplotlib is missing.
    """
    return save_plots(folder, drawings(result, targets), SIZE)


def drawings(result: SimulationResult, targets: Targets) -> dict[str, Drawing]:
    """Return the plots by name, without drawing them."""
    found: dict[str, Drawing] = {}
    curves = timelines(result)
    for setup, history, timeline in zip(result.experts, result.histories, curves, strict=True):
        end_s = result.end_s
        title = setup.domain
        found[f"{title}-replicas"] = partial(
            draw_replicas, timeline=timeline, history=history, end_s=end_s, title=title
        )
        found[f"{title}-ttft"] = partial(
            draw_ttft, timeline=timeline, target_s=targets.ttft_s, end_s=end_s, title=title
        )
    return found


def draw_replicas(axes: Any, timeline: Timeline, history: ExpertHistory, end_s: float, title: str) -> None:
    """Draw replicas and demand over time; triangles mark decisions."""
    demand = axes.twinx()
    axes.set_zorder(demand.get_zorder() + 1)
    axes.patch.set_visible(False)
    _steps(demand, timeline.demand, end_s, color="0.75", label="requests there (right)", fill=True)
    _steps(axes, timeline.held, end_s, color="C1", label="replicas that hold GPUs")
    _steps(axes, timeline.running, end_s, color="C0", label="replicas that run")
    _steps(axes, timeline.wanted, end_s, color="C3", label="replicas wanted", linestyle=":")
    for marker, name, chosen in (
        ("^", "more", [d for d in history.decisions[1:] if d.new > d.old]),
        ("v", "fewer", [d for d in history.decisions[1:] if d.new < d.old]),
    ):
        if chosen:
            points = [d.t_s for d in chosen], [d.new for d in chosen]
            axes.scatter(*points, marker=marker, color="C3", s=28, label=f"decision: {name}", zorder=5)
    axes.set(xlabel="seconds", ylabel="replicas", title=title, xlim=(0, end_s))
    axes.set_ylim(
        bottom=0, top=max(timeline.held.value.max(initial=1), timeline.wanted.value.max(initial=1)) + 0.5
    )
    demand.set_ylabel("requests")
    demand.set_ylim(bottom=0)
    handles, labels = (
        a + b for a, b in zip(*(x.get_legend_handles_labels() for x in (axes, demand)), strict=True)
    )
    axes.legend(handles, labels, fontsize=7, loc="center left", bbox_to_anchor=(1.12, 0.5), frameon=False)


def draw_ttft(axes: Any, timeline: Timeline, target_s: float, end_s: float, title: str) -> None:
    """Draw the time to first token over time, on a logarithmic scale, and the target."""
    waits = timeline.waits
    axes.plot(waits.t_s, waits.p50_s, color="C0", label="p50")
    axes.plot(waits.t_s, waits.p99_s, color="C1", label="p99")
    axes.axhline(target_s, color="C3", linestyle="--", linewidth=1, label="target")
    axes.set(
        xlabel="seconds (arrival)",
        ylabel="time to first token, s",
        title=title,
        xlim=(0, end_s),
        yscale="log",
    )
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _steps(
    axes: Any, steps: Steps, end_s: float, color: str, label: str, fill: bool = False, **style: Any
) -> None:
    times = [0.0, *steps.t_s.tolist(), end_s]
    values = [0.0, *steps.value.tolist()]
    values.append(values[-1])
    if fill:
        axes.fill_between(times, values, step="post", color=color, alpha=0.6, linewidth=0, label=label)
    else:
        axes.step(times, values, where="post", color=color, label=label, linewidth=1.3, **style)

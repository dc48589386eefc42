"""One plot for each expert: GPU-hours against the share of requests that miss the target."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modem.plotting import Drawing, save_plots
from modem.tuning.tune import ExpertResult

SIZE = (6.4, 4.2)
_MOST = 20.0
"""Of the budget: what uses more is drawn here."""
_LEAST = 0.02


def draw(results: Sequence[ExpertResult], folder: Path) -> list[Path]:
    """Write a plot for each expert that was tuned; returns their files.

    Raises:
        ConfigError: matplotlib is missing.
    """
    drawings: dict[str, Drawing] = {
        f"{result.domain}-front": partial(draw_front, result=result) for result in results if result.front
    }
    return save_plots(folder, drawings, SIZE)


def draw_front(axes: Any, result: ExpertResult) -> None:
    """Draw the front, the best of each policy as confirmed and as held out, and what is configured now."""
    points = [(each.score.cost_hours, _used(each.score.budget_used)) for each in result.front]
    axes.step(*zip(*points, strict=True), where="post", color="0.6", marker=".", label="front of the search")
    for number, each in enumerate(result.policies):
        color = f"C{number}"
        found = each.best.score
        axes.scatter(found.cost_hours, _used(found.budget_used), color=color, label=each.policy, zorder=3)
        if each.held_out is not None:
            held = each.held_out.score
            name = f"{each.policy}, held out"
            axes.scatter(
                held.cost_hours, _used(held.budget_used), color=color, marker="x", label=name, zorder=3
            )
    if result.present is not None:
        now = result.present
        axes.scatter(now.cost_hours, _used(now.budget_used), color="k", marker="s", label="configured now")
    axes.axhline(1.0, color="C3", linestyle="--", linewidth=1, label="target")
    axes.set(
        xlabel="GPU-hours",
        ylabel="misses, in parts of what the target allows",
        yscale="log",
        title=result.domain,
    )
    axes.set_ylim(_LEAST / 1.5, _MOST * 1.5)
    axes.legend(fontsize=7)


def _used(value: float) -> float:
    return min(max(value, _LEAST), _MOST)

"""Plots as files, and the three of a classifier; matplotlib is imported where one is drawn."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modem.errors import ConfigError
from modem.routing.calibration import Bin

Drawing = Callable[[Any], None]
"""Draws on the axes of a figure, or on a sequence of them if it has several."""


def save_plots(
    folder: Path,
    drawings: Mapping[str, Drawing],
    size: tuple[float, float] = (4.8, 4.5),
    num_axes: int = 1,
    extra: str = "train",
) -> list[Path]:
    """Write each drawing as a PNG under its name; returns their files.

    Args:
        folder: Where to.
        drawings: By the name of the file, without its ending.
        size: Width and height in inches, of each.
        num_axes: Of each, one below the other, with one axis to the right for all.
        extra: What of modem to install where matplotlib is missing.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError(f"plots: {error}; run: pip install 'modem[{extra}]'") from error
    matplotlib.use("agg")  # files only, no display
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.png" for name in drawings}
    for name, draw in drawings.items():
        figure, axes = pyplot.subplots(num_axes, sharex=True, figsize=size, layout="constrained")
        draw(axes)
        figure.savefig(files[name], dpi=120)
        pyplot.close(figure)
    return list(files.values())


def draw_confusion(axes: Any, domains: Sequence[str], counts: NDArray[np.int64], title: str) -> None:
    """Draw counts of shape ``[k, k]``: true domains in rows, chosen ones in columns."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
    axes.set_xticks(range(len(domains)), domains, rotation=30)
    axes.set_yticks(range(len(domains)), domains)
    axes.set(xlabel="chosen", ylabel="true", title=title)


def draw_reliability(axes: Any, bins: Sequence[Bin], title: str) -> None:
    """Draw accuracy against confidence; a dot's area says how many prompts it stands for."""
    total = sum(one.num_prompts for one in bins)
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    sizes = [20 + 400 * one.num_prompts / total for one in bins]
    axes.scatter([one.confidence for one in bins], [one.accuracy for one in bins], s=sizes)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title=title)


def draw_risk(axes: Any, coverage: ArrayLike, risk: ArrayLike, title: str) -> None:
    """Draw the share of mistakes against the share that is answered."""
    axes.plot(coverage, risk, marker=".", markersize=3)
    axes.set(xlabel="share that is not left to the fallback", ylabel="mistakes among them", xlim=(0, 1.02))
    axes.set_ylim(bottom=0)
    axes.set_title(title)

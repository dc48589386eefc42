"""Plots of an evaluation: confusion matrix, reliability diagram, risk against coverage."""

from pathlib import Path
from typing import Any

import numpy as np

from modem.errors import ConfigError
from modem.evaluation.evaluate import Report, SetFigures


def draw(report: Report, folder: Path) -> list[Path]:
    """Write three plots for each set; returns their files.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError(f"plots: {error}; run: pip install 'modem[train]'") from error
    matplotlib.use("agg")  # files only, no display
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {"confusion": _confusion, "reliability": _reliability, "risk-coverage": _risk}
    files = []
    for found in report.sets:
        for name, plot in kinds.items():
            files.append(folder / f"{found.name}-{name}.png")
            _save(found, plot, files[-1])
    return files


def _save(found: SetFigures, plot: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4.8, 4.5), layout="constrained")
    plot(found, axes)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _confusion(found: SetFigures, axes: Any) -> None:
    domains = found.scores.confusion.domains
    counts = np.array(found.scores.confusion.counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
    axes.set_xticks(range(len(domains)), domains, rotation=30)
    axes.set_yticks(range(len(domains)), domains)
    axes.set(xlabel="chosen", ylabel="true", title=f"{found.name}: accuracy {found.scores.accuracy:.3f}")


def _reliability(found: SetFigures, axes: Any) -> None:
    bins, total = found.calibration.bins, found.scores.num_prompts
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    sizes = [20 + 400 * one.num_prompts / total for one in bins]
    axes.scatter([one.confidence for one in bins], [one.accuracy for one in bins], s=sizes)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"{found.name}: calibration error {found.calibration.ece:.3f}")


def _risk(found: SetFigures, axes: Any) -> None:
    axes.plot([point.coverage for point in found.risk], [point.risk for point in found.risk], marker=".")
    axes.set(xlabel="share that is not left to the fallback", ylabel="mistakes among them", xlim=(0, 1.02))
    axes.set_ylim(bottom=0)
    axes.set_title(found.name)

"""Plots of a training: confusion matrix, reliability diagram, risk against coverage."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.routing.calibration import bins
from modem.training.run import Measured, Trained


def draw(trained: Trained, folder: Path) -> None:
    """Write three plots for each set that was measured on.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError(f"plots: {error}; run: pip install 'modem[train]'") from error
    matplotlib.use("agg")  # files only, no display
    folder.mkdir(parents=True, exist_ok=True)
    for name, measured in trained.measured.items():
        _confusion(measured, trained.domains, folder / f"{name}-confusion.png")
        _reliability(measured, folder / f"{name}-reliability.png")
        _risk(measured, folder / f"{name}-risk-coverage.png")


def confusion(measured: Measured, domains: tuple[str, ...]) -> NDArray[np.int64]:
    """Count prompts by true domain (rows) and chosen domain (columns); shape ``[k, k]``."""
    counted = np.zeros((len(domains), len(domains)), dtype=np.int64)
    for label, column in zip(measured.labels, measured.probabilities.argmax(axis=1), strict=True):
        if label in domains:
            counted[domains.index(label), column] += 1
    return counted


def risk_coverage(
    confidences: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for the n most confident choices of each number n, their share of all and of mistakes."""
    order = np.argsort(-confidences, kind="stable")
    numbers = np.arange(1, len(order) + 1)
    return numbers / len(order), np.cumsum(~right[order]) / numbers


def _confusion(measured: Measured, domains: tuple[str, ...], path: Path) -> None:
    from matplotlib import pyplot

    counted = confusion(measured, domains)
    shares = counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    figure, axes = pyplot.subplots(figsize=(5, 4.5), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counted.shape):
        dark = shares[row, column] > 0.5
        axes.text(
            column, row, str(counted[row, column]), ha="center", va="center", color="w" if dark else "k"
        )
    axes.set_xticks(range(len(domains)), domains, rotation=30)
    axes.set_yticks(range(len(domains)), domains)
    axes.set(xlabel="chosen", ylabel="true", title=f"accuracy {measured.figures.accuracy:.3f}")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _reliability(measured: Measured, path: Path) -> None:
    from matplotlib import pyplot

    confidences, right = _choices(measured)
    found = bins(confidences, right)
    figure, axes = pyplot.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    sizes = [20 + 400 * b.num_prompts / len(right) for b in found]
    axes.scatter([b.confidence for b in found], [b.accuracy for b in found], s=sizes)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"expected calibration error {measured.figures.ece:.3f}")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _risk(measured: Measured, path: Path) -> None:
    from matplotlib import pyplot

    coverage, risk = risk_coverage(*_choices(measured))
    figure, axes = pyplot.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot(coverage, risk)
    axes.set(xlabel="share that is not left to the fallback", ylabel="mistakes among them", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _choices(measured: Measured) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each prompt's highest probability, and whether that domain is the true one."""
    probabilities = measured.probabilities
    # Names as columns: a label that the router does not know is never right.
    columns = {figures.domain: column for column, figures in enumerate(measured.figures.domains)}
    truth = np.array([columns.get(label, -1) for label in measured.labels])
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth

"""Plots of a training: confusion matrix, reliability diagram, risk against coverage."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modem.plotting import Drawing, draw_confusion, draw_reliability, draw_risk, save_plots
from modem.routing.calibration import bins
from modem.training.run import Measured, Trained


def draw(trained: Trained, folder: Path) -> None:
    """Write three plots for each set that was measured on.

    Raises:
        ConfigError: matplotlib is missing.
    """
    plots: dict[str, Drawing] = {}
    for name, measured in trained.measured.items():
        plots |= _plots(name, measured, trained.domains)
    save_plots(folder, plots)


def _plots(name: str, measured: Measured, domains: tuple[str, ...]) -> dict[str, Drawing]:
    confidences, right = _choices(measured)
    coverage, risk = risk_coverage(confidences, right)
    counts = confusion(measured, domains)
    accuracy = f"{name}: accuracy {measured.figures.accuracy:.3f}"
    error = f"{name}: calibration error {measured.figures.ece:.3f}"
    return {
        f"{name}-confusion": partial(draw_confusion, domains=domains, counts=counts, title=accuracy),
        f"{name}-reliability": partial(draw_reliability, bins=bins(confidences, right), title=error),
        f"{name}-risk-coverage": partial(draw_risk, coverage=coverage, risk=risk, title=name),
    }


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


def _choices(measured: Measured) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each prompt's highest probability, and whether that domain is the true one."""
    probabilities = measured.probabilities
    # Names as columns: a label that the router does not know is never right.
    columns = {figures.domain: column for column, figures in enumerate(measured.figures.domains)}
    truth = np.array([columns.get(label, -1) for label in measured.labels])
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth

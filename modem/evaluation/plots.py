"""Plots of an evaluation: confusion matrix, reliability diagram, risk against coverage."""

from functools import partial
from pathlib import Path

import numpy as np

from modem.evaluation.evaluate import Report, SetFigures
from modem.plotting import Drawing, draw_confusion, draw_reliability, draw_risk, save_plots


def draw(report: Report, folder: Path) -> list[Path]:
    """Write three plots for each set; returns their files.

    Raises:
        ConfigError: matplotlib is missing.
    """
    return save_plots(folder, {name: plot for found in report.sets for name, plot in _plots(found).items()})


def _plots(found: SetFigures) -> dict[str, Drawing]:
    name, matrix = found.name, found.scores.confusion
    coverage, risk = [point.coverage for point in found.risk], [point.risk for point in found.risk]
    accuracy = f"{name}: accuracy {found.scores.accuracy:.3f}"
    error = f"{name}: calibration error {found.calibration.ece:.3f}"
    return {
        f"{name}-confusion": partial(
            draw_confusion, domains=matrix.domains, counts=np.array(matrix.counts), title=accuracy
        ),
        f"{name}-reliability": partial(draw_reliability, bins=found.calibration.bins, title=error),
        f"{name}-risk-coverage": partial(draw_risk, coverage=coverage, risk=risk, title=name),
    }

"""ServeGen's clients (arXiv 2505.09999, github.com/alibaba/ServeGen): rates and burstiness per ten minutes.

A client's file has no header; a line is a window: ``t_s, rate_rps, cv, dist, shape, scale``, where ``dist``
is ``Gamma`` or ``Weibull`` over inter-arrival times, or empty in a silent window. Arrivals are drawn from it
and stretched so that a window holds ``rate * window`` of them, as upstream's ``construct.py`` does.
"""

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.traces.lengths import Lengths
from modem.traces.lines import read_lines, seconds
from modem.traces.trace import ANY_DOMAIN, Trace, columns

_HOUR_S = 3600.0
COLUMNS = "t_s, rate_rps, cv, dist, shape, scale"


@dataclass(frozen=True, slots=True)
class Window:
    """How one client behaves for a while.

    Attributes:
        start_s: When the window begins.
        rate_rps: Mean requests a second in it.
        dist: ``Gamma`` or ``Weibull``; empty if it is silent.
        shape: Of the distribution of inter-arrival times.
    """

    start_s: float
    rate_rps: float
    dist: str
    shape: float


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a client's time to generate, and how much of its load.

    Attributes:
        start_s: From here; it becomes 0 s of the trace.
        duration_s: So long; None for an hour of a client, and for all that is left of another trace.
        rate_scale: Times its rate.
    """

    start_s: float = 0.0
    duration_s: float | None = None
    rate_scale: float = 1.0


def read(path: Path, rng: np.random.Generator, part: Part, lengths: Lengths) -> Trace:
    """Generate a trace of one client; it has no domains.

    Args:
        path: ``chunk-<client>-trace.csv``.
        rng: Draws the arrivals.
        part: What to generate.
        lengths: Of prompts and answers; ServeGen keeps them in other files, see `read_lengths`.

    Raises:
        ConfigError: The file cannot be read or a line is wrong, or nothing arrives in that part.
    """
    windows = read_windows(path)
    duration_s = _HOUR_S if part.duration_s is None else part.duration_s
    t_s = _arrivals(windows, rng, part, duration_s)
    if not len(t_s):
        raise ConfigError(
            f"{path}: no request from {part.start_s:g} s on within {duration_s:g} s; "
            f"the file describes {windows[0].start_s:g} to {windows[-1].start_s:g} s"
        )
    prompts, outputs = lengths.draw(t_s + part.start_s, rng)
    origin = f"{path.name} from {part.start_s:g} s, {part.rate_scale:g} of its rate"
    return columns((ANY_DOMAIN,), t_s, np.zeros(len(t_s), np.int64), prompts, outputs, (), duration_s, origin)


def read_windows(path: Path) -> list[Window]:
    """Read a client's windows, in the order of their times.

    Raises:
        ConfigError: The file cannot be read, holds nothing, or a line is wrong.
    """
    windows = [_window(line, where) for line, where in read_lines(path)]
    if not windows:
        raise ConfigError(f"{path}: no window in it")
    return sorted(windows, key=lambda window: window.start_s)


def _window(line: str, where: str) -> Window:
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != 6:
        raise ConfigError(f"{where}: {len(cells)} columns; a line has {COLUMNS}")
    start_s, rate = seconds(cells[0], "t_s", where), seconds(cells[1], "rate_rps", where)
    if cells[3] not in ("Gamma", "Weibull"):
        if cells[3] or rate:
            raise ConfigError(
                f"{where}: dist is {cells[3]!r}: write Gamma or Weibull, or nothing with rate 0"
            )
        return Window(start_s, 0.0, "", 1.0)
    shape = seconds(cells[4], "shape", where)
    if shape <= 0:
        raise ConfigError(f"{where}: shape is {shape:g}: write more than 0")
    return Window(start_s, rate, cells[3], shape)


def _arrivals(
    windows: list[Window], rng: np.random.Generator, part: Part, duration_s: float
) -> NDArray[np.float64]:
    ends = [window.start_s for window in windows[1:]]
    ends.append(windows[-1].start_s + (ends[-1] - windows[-2].start_s if ends else duration_s))
    found = [np.zeros(0)]
    for window, end_s in zip(windows, ends, strict=True):
        if window.start_s < part.start_s + duration_s and end_s > part.start_s:
            found.append(_within(window, end_s, rng, part.rate_scale))
    t_s = np.concatenate(found) - part.start_s
    return t_s[(t_s >= 0) & (t_s < duration_s)]


def _within(window: Window, end_s: float, rng: np.random.Generator, scale: float) -> NDArray[np.float64]:
    expected = window.rate_rps * scale * (end_s - window.start_s)
    number = int(expected + rng.random())  # a fraction of a request comes with that probability
    if not number:
        return np.zeros(0)
    # The scale parameter cancels out: the gaps are stretched to fill the window.
    draw = rng.gamma if window.dist == "Gamma" else lambda shape, size: rng.weibull(shape, size)
    gaps = draw(window.shape, size=number + 1)
    total = gaps.sum()
    places = np.cumsum(gaps)[:-1] / total if total > 0 else np.sort(rng.random(number))
    return np.asarray(window.start_s + places * (end_s - window.start_s), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class EmpiricalLengths:
    """Lengths of one client, window by window (``chunk-<client>-dataset.json``).

    Attributes:
        starts_s: Begin of each window that is not empty, ascending.
        prompts: Lengths and their probabilities, for each window.
        outputs: As ``prompts``.
    """

    starts_s: NDArray[np.float64]
    prompts: tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...]
    outputs: tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...]

    def draw(
        self, t_s: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw from the window that a request is in, or the nearest before it that is not empty."""
        at = np.clip(np.searchsorted(self.starts_s, t_s, side="right") - 1, 0, None)
        prompts, outputs = np.empty(len(t_s), np.int64), np.empty(len(t_s), np.int64)
        for window in np.unique(at):
            here = np.flatnonzero(at == window)
            prompts[here] = rng.choice(self.prompts[window][0], len(here), p=self.prompts[window][1])
            outputs[here] = rng.choice(self.outputs[window][0], len(here), p=self.outputs[window][1])
        return prompts, outputs


def read_lengths(path: Path) -> EmpiricalLengths:
    """Read a client's lengths.

    Raises:
        ConfigError: The file cannot be read or is not of this format; the message names the window.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected an object of windows")
    found = []
    for start, window in raw.items():
        where = f"{path}: window {start}"
        prompts = _histogram(window, "input_tokens", where)
        outputs = _histogram(window, "output_tokens", where)
        if prompts and outputs:
            found.append((seconds(start, "its key", where), prompts, outputs))
    if not found:
        raise ConfigError(f"{path}: all windows are empty")
    found.sort(key=lambda each: each[0])
    return EmpiricalLengths(
        np.array([start for start, _, _ in found]),
        tuple(_arrays(prompts) for _, prompts, _ in found),
        tuple(_arrays(outputs) for _, _, outputs in found),
    )


def _histogram(window: Any, name: str, where: str) -> dict[int, float]:
    """Read a length's probabilities: a Python literal in a text, which is parsed and never run."""
    try:
        value = window[name]
        literal = ast.literal_eval(value) if isinstance(value, str) else value
        found = {int(length): float(share) for length, share in literal.items() if float(share) > 0}
    except (KeyError, TypeError, ValueError, SyntaxError, AttributeError) as error:
        raise ConfigError(f"{where}: {name} is no mapping of lengths to probabilities") from error
    if any(length < 0 for length in found):
        raise ConfigError(f"{where}: {name} has a negative length")
    return found


def _arrays(histogram: dict[int, float]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    lengths = np.maximum(np.array(list(histogram), dtype=np.int64), 1)
    shares = np.array(list(histogram.values()))
    return lengths, shares / shares.sum()

"""Mooncake's traces (FAST 2025, github.com/kvcache-ai/Mooncake): ``timestamp`` in ms, two lengths, hashes.

The conversation trace is quantised: all requests of about three seconds carry one time stamp. Replayed as
it is, it would measure the quantisation. So requests of one step are spread over it at random.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.traces.lines import field, seconds, tokens
from modem.traces.trace import ANY_DOMAIN, Trace, columns

FIELDS = "timestamp (ms), input_length, output_length"
_CROWDED = 2.0
"""Requests a time stamp from which on a trace counts as quantised; Poisson arrivals have hardly above 1."""


def read(path: Path, rng: np.random.Generator) -> Trace:
    """Read a trace; it has no domains.

    Args:
        path: The file.
        rng: Spreads the requests of one step over it, where the file is quantised.

    Raises:
        ConfigError: The file cannot be read, has no request, or a line is wrong.
    """
    times, prompts, outputs = [], [], []
    for row, where in read_objects(path, FIELDS):
        times.append(seconds(field(row, "timestamp", where, FIELDS), "timestamp", where) / 1000)
        prompts.append(tokens(field(row, "input_length", where, FIELDS), "input_length", where))
        outputs.append(tokens(field(row, "output_length", where, FIELDS), "output_length", where))
    if not times:
        raise ConfigError(f"{path}: no request in it")
    exact, step_s = spread(np.array(times), rng)
    note = f"{path.name}, spread within steps of {step_s:.3g} s" if step_s else path.name
    return columns((ANY_DOMAIN,), exact, [0] * len(exact), prompts, outputs, (), None, note)


def spread(t_s: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Spread times that share a stamp evenly at random up to the next step.

    Args:
        t_s: Times, shape ``[n]``.
        rng: Draws the places within a step.

    Returns:
        The times, and the length of a step: the median distance of stamps, 0 if they are not quantised.
    """
    stamps = np.unique(t_s)
    if len(stamps) < 2 or len(t_s) / len(stamps) < _CROWDED:
        return t_s, 0.0
    step_s = float(np.median(np.diff(stamps)))
    return t_s + rng.random(len(t_s)) * step_s, step_s

"""A run as a trace: what was asked of the service, to be replayed or simulated."""

from dataclasses import dataclass

import numpy as np

from modem.load.columns import UNKNOWN, Ints
from modem.load.run import Run
from modem.traces.trace import Trace
from modem.traces.trace import columns as trace_columns


@dataclass(frozen=True, slots=True)
class RecordedTrace:
    """A trace, and what was guessed in it.

    Attributes:
        trace: Requests at their intended times, for their intended domains.
        num_guessed: Requests of which a length is a guess, because no answer told it.
    """

    trace: Trace
    num_guessed: int


def recorded_trace(run: Run) -> RecordedTrace | None:
    """Return the demand of a run; None if no answer told any length.

    Requests that failed were demand too: a trace without them would be lighter than what broke the service.
    Nobody told their lengths, so they get the median of their domain's, or else of all.
    """
    records = run.records
    known = (records.prompt_tokens > 0) & (records.output_tokens > 0)
    if not known.any():
        return None
    trace = trace_columns(
        records.domains,
        records.intended_s,
        records.domain,
        _filled(records.prompt_tokens, records.domain),
        _filled(records.output_tokens, records.domain),
        records.sessions,
        run.span_s,
        f"load test {run.settings.name}",
    )
    return RecordedTrace(trace, int((~known).sum()))


def _filled(tokens: Ints, domain: Ints) -> Ints:
    tokens = np.where(tokens > 0, tokens, UNKNOWN)
    everywhere = int(np.median(tokens[tokens > 0]))
    filled = tokens.copy()
    for each in np.unique(domain):
        own = domain == each
        known = tokens[own & (tokens > 0)]
        filled[own & (tokens < 1)] = int(np.median(known)) if len(known) else everywhere
    return filled

"""Which requests were good: answered, and within every limit of the scenario's targets.

What vLLM's benchmark and DistServe (arXiv 2401.09670) call goodput is how many of them there are a second.
"""

from collections.abc import Sequence

import numpy as np

from modem.load.columns import Bools, Columns
from modem.slo import METRICS, Limit, Slo, Times


def limits(slo: Slo) -> tuple[Limit, ...]:
    """Return the limits that one request is held against, one for each metric.

    ``ttft_p50<500ms,ttft_p99<2s`` lets half of the requests take more than 500 ms, so a request is good
    within 2 s: of several limits for one metric the longest counts.
    """
    found: Sequence[Limit] = [limit for target in slo.targets for limit in target.limits]
    return tuple(
        max(own, key=lambda limit: limit.most_s)
        for own in ([limit for limit in found if limit.metric == metric] for metric in METRICS)
        if own
    )


def times(records: Columns) -> Times:
    """Return the times of each request; NaN for one that failed.

    An answer that is no stream shows its first token with its last, so its time to the end counts as its
    time to first token, and as there is nothing between its tokens, that time is 0. The mean time between
    tokens is by ``usage`` where the server told it, else between pieces of content.
    """
    ok = records.ok
    e2e_s = np.where(ok, records.e2e_s, np.nan)
    ttft_s = np.where(np.isnan(records.first_content_s), e2e_s, records.ttft_s)
    gap_s = records.gap_sums_s / np.maximum(records.num_gaps, 1)
    itl_s = np.where(np.isnan(records.tpot_s), gap_s, records.tpot_s)
    return Times(np.where(ok, ttft_s, np.nan), np.where(ok, itl_s, np.nan), e2e_s)


def good(records: Columns, slo: Slo) -> Bools:
    """Return for each request whether it was good."""
    found = times(records)
    within = records.ok
    for limit in limits(slo):
        within = within & (found.of(limit.metric) <= limit.most_s)  # NaN is not
    return within

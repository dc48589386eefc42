"""Which request was good: answered, and within every limit of the targets. Goodput counts these."""

from modem.load.goodput import limits
from modem.load.record import Record
from modem.slo import Metric, Slo


def is_good(record: Record, targets: Slo) -> bool:
    """Say whether a request counts for goodput, as `modem.load.goodput.good` says of all at once.

    A target's quantile plays no part here: ``ttft_p99<2s`` makes every request with a TTFT below 2 s good;
    of several limits for one metric the longest counts. An answer that is not streamed shows its first token
    when it is complete.
    """
    return record.outcome == "ok" and all(
        _time_s(record, limit.metric) <= limit.most_s for limit in limits(targets)
    )


def _time_s(record: Record, metric: Metric) -> float:
    if metric == "itl":
        if record.tpot_s is not None:
            return record.tpot_s
        return sum(record.itl_s) / len(record.itl_s) if record.itl_s else 0.0
    if metric == "ttft" and record.ttft_s is not None:
        return record.ttft_s
    return record.e2e_s

"""Pass or fail: whether a run held what ``--slo`` demands, as an exit status for CI and rollouts.

.. code-block:: text

    slo       = condition {"," condition}
    condition = [domain ":"] (target | rate)      without a domain: for each domain, and for all together
    target    = as in `modem.slo`, over all requests: one that failed is too late
    rate      = ("error_rate" | "misrouted_rate") ("<" | "<=") share
              | "goodput" (">" | ">=") share      of the requests, within the scenario's targets
    share     = number "%" | number up to 1
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Literal, get_args

import numpy as np

from modem.errors import ConfigError
from modem.load.certificate import Certificate
from modem.load.columns import Columns
from modem.load.goodput import times
from modem.load.hint import hint
from modem.load.run import Run
from modem.load.summary import ALL, Figures, Summary
from modem.slo import METRICS, Target, parse_slo, split_targets

RateName = Literal["error_rate", "misrouted_rate", "goodput"]
RATES: tuple[RateName, ...] = get_args(RateName)

PASSED, MISSED, NOT_CERTIFIED = 0, 1, 3
"""Exit statuses; 2 is wrong input."""

_RATE = re.compile(r"([a-z_]+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*(%?)")
_DOMAIN = re.compile(r"([^:()<>=]+):(.*)", re.DOTALL)
_ROUNDING = 1e-12
_OTHERWISE = "write one of them"


@dataclass(frozen=True, slots=True)
class Rate:
    """A share that must not be passed.

    Attributes:
        name: Which.
        sign: ``<``, ``<=``, ``>`` or ``>=``.
        share: The bound, in [0, 1].
    """

    name: RateName
    sign: str
    share: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{100 * self.share:.10g}%"

    def holds(self, share: float) -> bool:
        """Return whether a share is on the right side."""
        if self.sign in ("<=", ">=") and abs(share - self.share) <= _ROUNDING:
            return True
        return share < self.share if self.sign[0] == "<" else share > self.share


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of what is demanded.

    Attributes:
        domain: For whom; None for each domain, and for all together.
        demand: What.
    """

    domain: str | None
    demand: Target | Rate

    def __str__(self) -> str:
        return f"{self.domain}:{self.demand}" if self.domain else str(self.demand)


@dataclass(frozen=True, slots=True)
class Check:
    """A condition held against one domain, or all together.

    Attributes:
        domain: Whose requests; ``all`` for those of all.
        condition: What was demanded.
        found: What was measured, in words.
        passed: Whether that is enough.
    """

    domain: str
    condition: str
    found: str
    passed: bool


def parse_gate(text: str) -> tuple[Condition, ...]:
    """Read what is demanded.

    Raises:
        ConfigError: A part is not understood; the message says which, and what to write.
    """
    parts = [part.strip() for part in split_targets(text)]
    if not any(parts):
        parse_slo(text)  # says that there is nothing
    return tuple(_condition(part, text) for part in parts)


def check(conditions: Sequence[Condition], run: Run, summary: Summary) -> tuple[Check, ...]:
    """Hold a run against what is demanded.

    Raises:
        ConfigError: A condition is for a domain that the run did not ask.
    """
    return tuple(found for condition in conditions for found in _checks(condition, run, summary))


def status(checks: Sequence[Check], certificate: Certificate) -> int:
    """Return the exit status. Without a certificate no check means anything, so that comes first."""
    if not certificate.ok:
        return NOT_CERTIFIED
    return PASSED if all(found.passed for found in checks) else MISSED


def _condition(part: str, text: str) -> Condition:
    named = _DOMAIN.fullmatch(part)
    domain, demand = (named[1].strip(), named[2].strip()) if named else (None, part)
    if not demand:
        raise ConfigError(f"--slo {text!r}: {part!r} is no target; write one such as ttft_p99<2s there")
    word = re.match(r"[a-z_]+", demand)
    if (word is not None and "_rate" in word[0]) or demand.startswith("goodput"):
        return Condition(domain, _rate(demand, text))
    _known_metric(demand, text)
    return Condition(domain, parse_slo(demand).targets[0])


def _rate(demand: str, text: str) -> Rate:
    found = _RATE.fullmatch(demand)
    if found is None:
        raise ConfigError(f"--slo {text!r}: {demand!r} is no rate; write one like error_rate<0.1%")
    name = next((known for known in RATES if known == found[1]), None)
    if name is None:
        raise _unknown(found[1], text)
    wanted = ">" if name == "goodput" else "<"
    if found[2][0] != wanted:
        raise ConfigError(
            f"--slo {text!r}: {demand!r} bounds the wrong side; write {name}{wanted}{found[3]}%"
        )
    share = float(found[3]) / (100 if found[4] else 1)
    if share > 1:
        raise ConfigError(f"--slo {text!r}: {demand!r}: a share is at most 1; did you mean {found[3]}%?")
    return Rate(name, found[2], share)


def _known_metric(demand: str, text: str) -> None:
    """Name the metrics and rates there are, where the parser of latency targets knows only its own."""
    quantile = re.match(r"([a-z_]+?)_p\d", demand) or re.match(r"([a-z_]+)\s*[<>]", demand)
    if quantile and quantile[1] not in METRICS:
        raise _unknown(quantile[1], text)


def _unknown(name: str, text: str) -> ConfigError:
    known = (*METRICS, *RATES)
    return ConfigError(
        f"--slo {text!r}: there is no metric {name!r}; there are {', '.join(known)}: "
        f"{hint(name, known, _OTHERWISE)}"
    )


def _checks(condition: Condition, run: Run, summary: Summary) -> Iterator[Check]:
    known = [name for name, _ in summary.rows]
    if condition.domain is not None and condition.domain not in known:
        raise ConfigError(
            f"--slo {condition}: the run in {run.folder} asked no domain {condition.domain!r}, but "
            f"{', '.join(known)}: {hint(condition.domain, known, _OTHERWISE)}"
        )
    for name, figures in summary.rows:
        if condition.domain in (None, name):
            yield _check(name, figures, condition, _of(run.records, name))


def _of(records: Columns, name: str) -> Columns:
    return records if name == ALL else records.where(records.domain == records.names.index(name))


def _check(name: str, figures: Figures, condition: Condition, records: Columns) -> Check:
    demand = condition.demand
    if isinstance(demand, Rate):
        share = {
            "error_rate": figures.error_rate,
            "misrouted_rate": figures.misrouted_rate,
            "goodput": figures.share_good,
        }[demand.name]
        if share is None:
            return Check(name, str(demand), "not known: no answer named its domain", False)
        return Check(name, str(demand), f"{100 * share:.3g} %", demand.holds(share))
    measured = times(records)
    share = float(demand.met(measured).mean())
    found = f"{100 * share:.4g} % within"
    if len(demand.limits) == 1:
        found = f"{_quantile(measured.of(demand.limits[0].metric), demand.share)} ({found})"
    return Check(name, str(demand), found, share >= demand.share - _ROUNDING)


def _quantile(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], share: float) -> str:
    """Return the least time that so many of all requests kept to; failures took for ever."""
    value = float(np.quantile(np.where(np.isnan(values), np.inf, values), share, method="inverted_cdf"))
    return "never" if isinf(value) else f"{value:.3g} s"

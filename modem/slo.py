"""Latency targets as people write them: ``ttft_p99<2s``, ``ttft_p90<500ms,e2e_p99<30s`` and so on.

.. code-block:: text

    targets   = target {"," target}
    target    = metric "_p" percent limit                       99 % of all requests have at most so much
              | "share(" limits ")>=" share                     so many requests are within all limits at once
    limits    = metric limit {"," metric limit}
    limit     = ("<" | "<=") number ("ms" | "s" | "min")
    share     = number "%" | number up to 1
    metric    = "ttft" | "itl" | "e2e"

A quantile is meant over *all* requests: one that was refused or lost has no time and counts as too late. So
``ttft_p99<2s`` and ``share(ttft<2s)>=99%`` are the same target.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError

Metric = Literal["ttft", "itl", "e2e"]
METRICS: tuple[Metric, ...] = get_args(Metric)
MEANINGS: Mapping[Metric, str] = {
    "ttft": "time to first token",
    "itl": "mean time between tokens",
    "e2e": "time to the end of the answer",
}

_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0}
_NUMBER = r"\d+(?:\.\d+)?"
_LIMIT = re.compile(rf"([a-z0-9]+)\s*<=?\s*({_NUMBER})\s*([a-z]*)")
_QUANTILE = re.compile(rf"([a-z0-9]+)_p({_NUMBER})\s*(<=?.*)")
_SHARE = re.compile(rf"share\s*\((.*)\)\s*>=?\s*({_NUMBER})\s*(%?)")
_EXAMPLE = "write 'ttft_p99<2s', 'ttft_p90<500ms,e2e_p99<30s' or 'share(ttft<2s,e2e<30s)>=99%'"


@dataclass(frozen=True, slots=True)
class Limit:
    """Longest that one of a request's times may be.

    Attributes:
        metric: Which time.
        most_s: Seconds.
    """

    metric: Metric
    most_s: float

    def __str__(self) -> str:
        return f"{self.metric}<{self.most_s:g}s"


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """The times of n requests, in seconds; NaN for one that was not answered.

    Attributes:
        ttft_s: To the first token; shape ``[n]`` like the others.
        itl_s: Mean between tokens; 0 for an answer of a single one.
        e2e_s: To the end of the answer.
    """

    ttft_s: NDArray[np.float64]
    itl_s: NDArray[np.float64]
    e2e_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ttft_s)

    def of(self, metric: Metric) -> NDArray[np.float64]:
        """Return one of them by its name."""
        return {"ttft": self.ttft_s, "itl": self.itl_s, "e2e": self.e2e_s}[metric]


@dataclass(frozen=True, slots=True)
class Target:
    """Least share of requests that must be within limits.

    Attributes:
        limits: All of them must hold for a request, one for each metric.
        share: In (0, 1].
    """

    limits: tuple[Limit, ...]
    share: float

    def __str__(self) -> str:
        percent = f"{100 * self.share:.10g}"
        if len(self.limits) == 1:
            return f"{self.limits[0].metric}_p{percent}<{self.limits[0].most_s:g}s"
        return f"share({','.join(map(str, self.limits))})>={percent}%"

    def met(self, times: Times) -> NDArray[np.bool_]:
        """Return for each request whether it is within all limits."""
        within = np.ones(len(times), dtype=np.bool_)
        for limit in self.limits:
            within &= times.of(limit.metric) <= limit.most_s  # NaN is not
        return within

    def limit_s(self, metric: Metric) -> float | None:
        """Return the limit of one metric; None without one."""
        return next((limit.most_s for limit in self.limits if limit.metric == metric), None)

    def budget_used(self, share: float) -> float:
        """Return which part of the allowed misses a share within the limits uses up.

        1 is exactly the target, more is a target missed. A target of 100 % allows none.
        """
        missed, allowed = 1 - share, 1 - self.share
        if allowed <= 0:
            return 0.0 if missed <= 0 else float("inf")
        return missed / allowed


@dataclass(frozen=True, slots=True)
class Slo:
    """Targets that must all be held.

    Attributes:
        targets: At least one.
    """

    targets: tuple[Target, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.targets))

    def tightest(self, metric: Metric) -> Limit | None:
        """Return the shortest limit of a metric; None if no target limits it."""
        limits = [limit for target in self.targets for limit in target.limits if limit.metric == metric]
        return min(limits, key=lambda limit: limit.most_s, default=None)


def parse_slo(text: str) -> Slo:
    """Read targets; see the module for what may be written.

    Raises:
        ConfigError: A part is not understood; the message says which, and what to write.
    """
    parts = split_targets(text)
    if not any(part.strip() for part in parts):
        raise ConfigError(f"--slo {text!r}: no target in it; {_EXAMPLE}")
    return Slo(tuple(_target(part.strip(), text) for part in parts))


def split_targets(text: str) -> Sequence[str]:
    """Split at commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _target(part: str, text: str) -> Target:
    quantile, share = _QUANTILE.fullmatch(part), _SHARE.fullmatch(part)
    if share is not None:
        limits = tuple(_limit(each.strip(), text) for each in share[1].split(","))
        if len({limit.metric for limit in limits}) < len(limits):
            raise ConfigError(f"--slo {text!r}: {part!r} has two limits for one metric; keep the shorter")
        return Target(limits, _share(float(share[2]) / (100 if share[3] else 1), part, text))
    if quantile is not None:
        least = _share(float(quantile[2]) / 100, part, text)
        return Target((_limit(f"{quantile[1]}{quantile[3]}", text),), least)
    raise ConfigError(f"--slo {text!r}: {part!r} is no target; {_EXAMPLE}")


def _limit(part: str, text: str) -> Limit:
    found = _LIMIT.fullmatch(part)
    if found is None:
        raise ConfigError(f"--slo {text!r}: {part!r} is no limit; write one like ttft<2s")
    name, number, unit = found.groups()
    metric = next((known for known in METRICS if known == name), None)
    if metric is None:
        known = ", ".join(f"{metric} ({meaning})" for metric, meaning in MEANINGS.items())
        raise ConfigError(f"--slo {text!r}: there is no metric {name!r}; there are {known}")
    if unit not in _UNITS_S:
        what = f"the unit {unit!r} is unknown" if unit else f"{part!r} has no unit"
        raise ConfigError(f"--slo {text!r}: {what}; write ms, s or min after the number")
    most_s = float(number) * _UNITS_S[unit]
    if most_s <= 0:
        raise ConfigError(f"--slo {text!r}: {part!r}: the limit must be more than 0")
    return Limit(metric, most_s)


def _share(share: float, part: str, text: str) -> float:
    if not 0 < share <= 1:
        raise ConfigError(f"--slo {text!r}: {part!r}: the share must be more than 0 and at most 100 %")
    return share

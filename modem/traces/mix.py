"""Which share of the requests is whose: for traces without domains, and for mixes that move."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of domains that move evenly from ``start`` to ``end`` over the trace: domain drift.

    Attributes:
        start: Share of each domain at the beginning; they add up to 1.
        end: Share at the end, of the same domains.
    """

    start: Mapping[str, float]
    end: Mapping[str, float]

    @classmethod
    def steady(cls, shares: Mapping[str, float]) -> "Mix":
        """Return a mix that does not move."""
        return cls(shares, shares)

    @classmethod
    def even(cls, domains: Collection[str]) -> "Mix":
        """Return the same share for each domain."""
        return cls.steady(dict.fromkeys(domains, 1 / len(domains)))

    def __str__(self) -> str:
        start, end = (
            ",".join(f"{name}={share:.3g}" for name, share in mix.items()) for mix in (self.start, self.end)
        )
        return start if start == end else f"{start} to {end}"


def parse_mix(text: str, known: Collection[str] | None = None) -> Mix:
    """Read ``math=0.2,other=0.8``, or two of them with `` to `` between for a mix that moves.

    Weights need not add up to 1; they are divided by their sum. A domain that stands on one side only has
    0 on the other.

    Raises:
        ConfigError: A part is wrong, or a domain is not among ``known``.
    """
    parts = text.split(" to ")
    if len(parts) > 2:
        raise ConfigError(f"--mix {text!r}: more than one ' to '; write a=1,b=3 or a=1,b=3 to a=3,b=1")
    weights = [_weights(part, text, known) for part in parts]
    names = list(dict.fromkeys(name for part in weights for name in part))
    shares = [{name: part.get(name, 0.0) / sum(part.values()) for name in names} for part in weights]
    return Mix(shares[0], shares[-1])


def _weights(part: str, text: str, known: Collection[str] | None) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in part.split(","):
        name, _, number = item.strip().partition("=")
        try:
            weights[name] = float(number)
        except ValueError as error:
            raise ConfigError(f"--mix {text!r}: {item.strip()!r} is no DOMAIN=WEIGHT") from error
        if known is not None and name not in known:
            raise ConfigError(f"--mix {text!r}: {name!r} is none of {', '.join(known)}")
        if not 0 <= weights[name] < float("inf"):
            raise ConfigError(f"--mix {text!r}: the weight of {name} is {number}; write 0 or more")
    if sum(weights.values()) <= 0:
        raise ConfigError(f"--mix {text!r}: all weights are 0")
    return weights


def split(trace: Trace, mix: Mix, rng: np.random.Generator) -> Trace:
    """Give each request a domain by lot.

    Requests of one session get one domain: that of the session's first request.
    """
    names = tuple(mix.start)
    drawn = _draw(trace, mix, names, rng)
    if trace.sessions:
        first: dict[str, int] = {}
        for position, session in enumerate(trace.sessions):
            if session is not None:
                drawn[position] = first.setdefault(session, int(drawn[position]))
    return replace(trace, domains=names, domain_index=drawn, origin=f"{trace.origin}, split {mix}")


def _draw(trace: Trace, mix: Mix, names: tuple[str, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    start = np.array([mix.start[name] for name in names])
    end = np.array([mix.end[name] for name in names])
    progress = (trace.t_s / trace.span_s if trace.span_s else np.zeros(len(trace)))[:, None]
    bounds = np.cumsum(start + (end - start) * progress, axis=1)
    bounds[:, -1] = 1.0  # the shares' sum may be a rounding below
    drawn = (rng.random(len(trace))[:, None] >= bounds).sum(axis=1)
    return np.asarray(drawn, dtype=np.int64)

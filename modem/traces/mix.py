"""Which share of the requests is whose: for traces without domains, and for mixes that move."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of domains that move evenly from point to point: domain drift.

    Attributes:
        points: Share of each domain at moments that divide the time evenly, the first at its beginning, the
            last at its end; at least one, all of the same domains, each adding up to 1.
    """

    points: tuple[Mapping[str, float], ...]

    @classmethod
    def steady(cls, shares: Mapping[str, float]) -> "Mix":
        """Return a mix that does not move."""
        return cls((shares,))

    @classmethod
    def even(cls, domains: Collection[str]) -> "Mix":
        """Return the same share for each domain."""
        return cls.steady(dict.fromkeys(domains, 1 / len(domains)))

    @property
    def domains(self) -> tuple[str, ...]:
        """Their names, in the order in which they were named."""
        return tuple(self.points[0])

    @property
    def start(self) -> Mapping[str, float]:
        """Share of each domain at the beginning."""
        return self.points[0]

    @property
    def end(self) -> Mapping[str, float]:
        """Share of each domain at the end."""
        return self.points[-1]

    @property
    def is_steady(self) -> bool:
        """Whether it does not move."""
        return all(point == self.points[0] for point in self.points)

    def __str__(self) -> str:
        texts = [",".join(f"{name}={share:.3g}" for name, share in point.items()) for point in self.points]
        return texts[0] if self.is_steady else " to ".join(texts)

    def at(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shares at moments.

        Args:
            progress: From 0, the beginning, to 1, the end; shape ``[n]``.

        Returns:
            Shares in the order of `domains`; shape ``[n, domains]``, each row adding up to 1.
        """
        moments = np.linspace(0, 1, len(self.points))
        columns = [np.interp(progress, moments, [p[name] for p in self.points]) for name in self.domains]
        return np.stack(columns, axis=1)

    def draw(self, progress: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return for each moment a domain by lot, as a position in `domains`; shape ``[n]``."""
        bounds = np.cumsum(self.at(progress), axis=1)
        bounds[:, -1] = 1.0  # the shares' sum may be a rounding below
        drawn = (rng.random(len(progress))[:, None] >= bounds).sum(axis=1)
        return np.asarray(drawn, dtype=np.int64)


def parse_mix(text: str, known: Collection[str] | None = None) -> Mix:
    """Read ``math=0.2,other=0.8``, or several of them with `` to `` between for a mix that moves.

    Weights need not add up to 1; they are divided by their sum. A domain that is left out at one point has
    0 there.

    Raises:
        ConfigError: A part is wrong, or a domain is not among ``known``.
    """
    weights = [_weights(part, text, known) for part in text.split(" to ")]
    names = list(dict.fromkeys(name for part in weights for name in part))
    shares = ({name: part.get(name, 0.0) / sum(part.values()) for name in names} for part in weights)
    return Mix(tuple(shares))


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
    progress = trace.t_s / trace.span_s if trace.span_s else np.zeros(len(trace))
    drawn = mix.draw(progress, rng)
    if trace.sessions:
        first: dict[str, int] = {}
        for position, session in enumerate(trace.sessions):
            if session is not None:
                drawn[position] = first.setdefault(session, int(drawn[position]))
    return replace(trace, domains=mix.domains, domain_index=drawn, origin=f"{trace.origin}, split {mix}")

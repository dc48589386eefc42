"""What one replica of an expert can do: its speed, its memory, its start-up, its price. A JSON file.

`modem profile` measures one; committed ones lie in ``modem/simulation/profiles``.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from modem.config import Config, SimulatedExpertConfig
from modem.errors import ConfigError

Source = Literal["measured", "derived", "configured"]


class Prefill(Config):
    """How prompts are read.

    Attributes:
        tokens_per_s: Speed of reading while nothing is decoded; null if the length does not matter.
        overhead_s: Seconds for each prompt on top, whatever its length.
        parallel: Prompts are read side by side at full speed, as a simulated expert does, instead of one
            after the other.
        chunk_tokens: Most prompt tokens in one step of the engine (vLLM's ``max_num_batched_tokens``):
            reading and decoding then share each step. Null: they do not slow one another.
    """

    tokens_per_s: float | None = Field(default=None, gt=0)
    overhead_s: float = Field(default=0.0, ge=0)
    parallel: bool = False
    chunk_tokens: int | None = Field(default=None, ge=1)


class Decode(Config):
    """Seconds of one decode step against the number of requests in the batch.

    Linear between the points; beyond the last one as between the last two; below the first one constant.

    Attributes:
        batch: Numbers of requests, ascending.
        step_s: Seconds of a step at each of them.
    """

    batch: tuple[int, ...] = Field(min_length=1)
    step_s: tuple[float, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _points_fit(self) -> Self:
        if len(self.batch) != len(self.step_s):
            raise ValueError(f"batch has {len(self.batch)} values and step_s has {len(self.step_s)}")
        if self.batch[0] < 1 or any(b <= a for a, b in pairwise(self.batch)):
            raise ValueError("batch must ascend from at least 1")
        if min(self.step_s) < 0:
            raise ValueError("step_s must not be negative")
        return self

    def at(self, batch: int) -> float:
        """Return the seconds of a step with so many requests; 0 requests as 1."""
        right = bisect_left(self.batch, batch)
        if right == 0 or len(self.batch) == 1:
            return self.step_s[0]
        right = min(right, len(self.batch) - 1)
        b0, b1 = self.batch[right - 1], self.batch[right]
        s0, s1 = self.step_s[right - 1], self.step_s[right]
        return max(s0 + (s1 - s0) * (batch - b0) / (b1 - b0), 0.0)


class Startup(Config):
    """Seconds from the creation of a replica to readiness: samples, or quantiles.

    Attributes:
        samples: Measured starts; one is drawn.
        quantiles: Seconds at probabilities (written as texts, as JSON wants), linear between them.
    """

    samples: tuple[float, ...] = ()
    quantiles: Mapping[str, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.samples) == bool(self.quantiles):
            raise ValueError("give either samples or quantiles")
        if min((*self.samples, *self.quantiles.values())) < 0:
            raise ValueError("seconds must not be negative")
        pairs = self._curve()
        if any(not 0 <= p <= 1 for p, _ in pairs):
            raise ValueError("quantiles are at probabilities from 0 to 1")
        if any(b < a for (_, a), (_, b) in pairwise(pairs)):
            raise ValueError("quantiles must not descend")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one start."""
        if self.samples:
            return self.samples[int(rng.integers(len(self.samples)))]
        pairs = self._curve()
        return float(np.interp(rng.random(), [p for p, _ in pairs], [s for _, s in pairs]))

    @property
    def median_s(self) -> float:
        """The median."""
        if self.samples:
            return float(np.median(self.samples))
        pairs = self._curve()
        return float(np.interp(0.5, [p for p, _ in pairs], [s for _, s in pairs]))

    def _curve(self) -> list[tuple[float, float]]:
        return sorted((float(p), seconds) for p, seconds in self.quantiles.items())


class Profile(Config):
    """One replica of one kind of expert.

    Attributes:
        name: What it is a profile of.
        source: ``measured`` on a running expert, ``derived`` from published figures, or ``configured`` in
            a simulated expert.
        method: How the figures came about: commands, hardware, versions, citations.
        prefill: How prompts are read.
        decode: How answers are written.
        max_num_seqs: Requests that are computed at once.
        kv_capacity_tokens: Tokens that the KV cache holds; null for no limit.
        startup_s: Start of a replica.
        gpus_per_replica: GPUs that it holds, from its creation to its end.
        usd_per_gpu_hour: Price of one of them.
        overhead_s: Seconds that a request takes to reach its replica: proxy, routing, gateway.
    """

    name: str = Field(min_length=1)
    source: Source
    method: str = Field(min_length=1)
    prefill: Prefill
    decode: Decode
    max_num_seqs: int = Field(ge=1)
    kv_capacity_tokens: int | None = Field(default=None, ge=1)
    startup_s: Startup
    gpus_per_replica: float = Field(default=0.0, ge=0)
    usd_per_gpu_hour: float = Field(default=0.0, ge=0)
    overhead_s: float = Field(default=0.0, ge=0)

    def to_json(self) -> str:
        """Return what `load_profile` reads."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), indent=1) + "\n"


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; named by file, line and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error
    return parse_profile(text, str(path))


def parse_profile(text: str, file: str) -> Profile:
    """Read the text of a profile; `load_profile` without the file.

    Raises:
        ConfigError: Something in it is wrong.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{file}:{error.lineno}: not JSON: {error.msg}") from error
    try:
        return Profile.model_validate(raw)
    except ValidationError as error:
        wrong = []
        for detail in error.errors(include_url=False):
            where = ".".join(map(str, detail["loc"])) or "the whole file"
            message = detail["msg"].removeprefix("Value error, ")
            wrong.append(f"{file}:{_line_of(text, detail['loc'])}: {where}: {message}")
        raise ConfigError("\n".join(wrong)) from error


def _line_of(text: str, location: Sequence[int | str]) -> int:
    """Return the line of the last key of a path that the text has."""
    position = 0
    for part in location:
        found = text.find(json.dumps(part), position) if isinstance(part, str) else -1
        position = found if found >= 0 else position
    return text.count("\n", 0, position) + 1


def committed_profile(name: str) -> Profile:
    """Return a profile of this package, by the name of its file without the ending.

    Raises:
        ConfigError: There is none of this name.
    """
    folder = files("modem.simulation").joinpath("profiles")
    known = sorted(
        entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")
    )
    if name not in known:
        raise ConfigError(f"no committed profile {name!r}; there are {', '.join(known)}")
    return parse_profile(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"), f"profiles/{name}.json")


def simulated_profile(expert: SimulatedExpertConfig) -> Profile:
    """Return the profile of a simulated expert: its settings say all there is to know."""
    return Profile(
        name=f"simulated {expert.model_id}",
        source="configured",
        method="The args of the simulated expert in the Serve config.",
        prefill=Prefill(overhead_s=expert.ttft_s, parallel=True),
        decode=Decode(batch=(1,), step_s=(expert.tpot_s,)),
        max_num_seqs=expert.max_num_seqs,
        kv_capacity_tokens=expert.max_num_seqs * expert.max_model_len,
        startup_s=Startup(samples=(expert.startup_s,)),
    )

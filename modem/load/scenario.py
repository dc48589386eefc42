"""A load test as a small YAML file: how many requests when, for whom, of what kind, and what is good enough.

Every key has a default but ``duration_s`` and one of ``rate``, ``users`` and ``replay``.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from modem.config import Config
from modem.errors import ConfigError
from modem.load.curve import Curve, Point
from modem.slo import parse_slo
from modem.traces.mix import parse_mix

Loop = Literal["open", "closed"]
Process = Literal["constant", "poisson", "gamma"]
Amount = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
NumTurns = Annotated[int, Field(ge=1, le=100)]
Level = Amount | Annotated[tuple[tuple[Seconds, Amount], ...], Field(min_length=1)]
"""One number, or points ``[seconds, number]`` with straight lines between; two at one time are a step."""


class Lengths(Config):
    """Log-normal lengths in tokens.

    Attributes:
        median: Half are shorter.
        sigma: Standard deviation of the logarithm; 0 for one fixed length. Chat traffic has about 0.8.
        max: Longer ones are cut to this.
    """

    median: float = Field(ge=1)
    sigma: float = Field(default=0.0, ge=0, le=5)
    max: int = Field(default=100_000, ge=1)

    @classmethod
    def fixed(cls, tokens: int) -> "Lengths":
        """Return lengths that are all the same."""
        return cls(median=tokens, max=max(tokens, 1))


class Sessions(Config):
    """Conversations instead of single questions: each turn is sent with all turns and answers before it.

    Attributes:
        turns: Least and most questions; drawn evenly.
        think_s: Mean wait between an answer and the next question; exponentially distributed.
    """

    turns: tuple[NumTurns, NumTurns]
    think_s: float = Field(default=3.0, ge=0)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.turns[0] > self.turns[1]:
            raise ValueError(
                f"turns goes from {self.turns[0]} to {self.turns[1]}: write the smaller one first"
            )
        return self


class Replay(Config):
    """Arrivals and lengths of a trace, instead of made ones.

    Attributes:
        trace: JSONL of ours or Mooncake's, Azure's CSV; a path from the working directory, else from the
            scenario's. Or a synthetic one, as for ``modem simulate --trace``.
        speed: How many times as fast as it was recorded.
        max_prompt_tokens: Longer prompts are made this long; for experts with a short context.
        max_output_tokens: The same for answers.
    """

    trace: str
    speed: float = Field(default=1.0, gt=0)
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)


class Saturation(Config):
    """A rate that rises in steps until the service gives way.

    Attributes:
        step_s: Length of a step.
        growth: Rate of a step over that of the one before.
        stop_below: The run ends after a step of whose requests a smaller share than this met ``targets``.
    """

    step_s: float = Field(default=20.0, gt=0)
    growth: float = Field(default=1.5, gt=1)
    stop_below: float = Field(default=0.5, ge=0, le=1)


class Scenario(Config):
    """One load test.

    Attributes:
        name: By default the file's.
        description: One line, for lists and reports.
        duration_s: How long requests are sent. A trace is cut to it; None for all of the trace.
        seed: Of everything that is drawn: the same seed makes the same requests.
        rate: Requests (sessions, if there are any) a second, sent whether or not others were answered:
            an open loop.
        users: How many ask one after another, each waiting for its answer: a closed loop. It sends less
            when the service is slow, and so hides overload.
        think_s: Mean wait of a user between an answer and the next question; exponential. Closed loop only.
        arrivals: Gaps between requests. ``constant`` for even ones, ``poisson`` for independent people,
            ``gamma`` for bursts.
        cv: Of ``gamma``: standard deviation of the gaps over their mean; 1 is ``poisson``.
        mix: Share of each domain, ``math=1,other=3``; with `` to `` between for shares that move evenly over
            the run. The same share for each domain that has prompts, if left out. A trace with domains keeps
            its own.
        prompts: A JSONL file with ``prompt`` (or ``text``) and ``domain``, or a folder of such; own
            prompts by default. A path from the working directory, else from the scenario's.
        prompt_tokens: Lengths to which prompts are brought, about, by passages before the question; as they
            are if left out.
        output_tokens: Lengths that answers are limited to.
        exact_output: Whether answers are to have exactly that many tokens: vLLM only.
        streaming_share: Share of the requests that ask for a stream.
        pinned: Whether requests name their domain as the model, and so go past the router.
        sessions: Conversations instead of single questions.
        replay: A trace instead of ``rate``.
        saturation: Rises from ``rate`` on.
        targets: What a good request is; see `modem.slo`.
        timeout_s: Longest wait for the end of an answer.
        drain_s: How long answers are awaited after the last arrival.
    """

    name: str = Field(default="scenario", min_length=1)
    description: str = ""
    duration_s: float | None = Field(default=None, gt=0, le=1e7)
    seed: int = Field(default=1, ge=0)
    rate: Level | None = None
    users: Level | None = None
    think_s: float = Field(default=0.0, ge=0)
    arrivals: Process = "poisson"
    cv: float = Field(default=1.0, gt=0, le=20)
    mix: str | None = None
    prompts: str | None = None
    prompt_tokens: Lengths | None = None
    output_tokens: Lengths = Lengths(median=48, sigma=0.5, max=128)
    exact_output: bool = False
    streaming_share: float = Field(default=1.0, ge=0, le=1)
    pinned: bool = False
    sessions: Sessions | None = None
    replay: Replay | None = None
    saturation: Saturation | None = None
    targets: str = "ttft_p99<2s"
    timeout_s: float = Field(default=120.0, gt=0)
    drain_s: float = Field(default=30.0, ge=0)

    @field_validator("prompt_tokens", "output_tokens", mode="before")
    @classmethod
    def _number_is_fixed(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return {"median": value, "max": max(value, 1)} if is_number else value

    @field_validator("rate", "users")
    @classmethod
    def _times_ascend(cls, level: Level | None) -> Level | None:
        times = [t_s for t_s, _ in level] if isinstance(level, tuple) else []
        if times != sorted(times):
            raise ValueError(f"the times {', '.join(f'{t_s:g}' for t_s in times)} do not ascend")
        if any(times.count(t_s) > 2 for t_s in times):
            raise ValueError("more than two points at one time; two are a step")
        return level

    @field_validator("mix", "targets")
    @classmethod
    def _can_be_read(cls, text: str | None, info: Any) -> str | None:
        try:
            if text is not None:
                (parse_mix if info.field_name == "mix" else parse_slo)(text)
        except ConfigError as error:
            raise ValueError(str(error).partition(": ")[2]) from error
        return text

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        given = [name for name in ("rate", "users", "replay") if getattr(self, name) is not None]
        if not given:
            raise ValueError("nothing says how much is sent; give one of rate, users, replay")
        if len(given) > 1:
            raise ValueError(f"{given[-1]} and {given[0]} exclude each other; keep one")
        if self.duration_s is None and self.replay is None:
            raise ValueError("duration_s is missing; only a replay knows its own length")
        if self.users is not None and self.mix is not None and not parse_mix(self.mix).is_steady:
            raise ValueError("mix moves over time, but in a closed loop nobody knows when a request is sent")
        if self.saturation is not None and not isinstance(self.rate, float):
            raise ValueError("saturation needs rate: one number, that of the first step")
        if self.cv != 1.0 and self.arrivals != "gamma":
            raise ValueError("cv goes with arrivals: gamma; leave it out")
        if self.think_s and self.users is None:
            raise ValueError("think_s goes with users; between the turns of a session it is sessions.think_s")
        if self.sessions is not None and self.replay is not None:
            raise ValueError("sessions cannot be made of a replay: the trace says who asks when")
        return self

    @property
    def loop(self) -> Loop:
        """``closed`` if users wait for their answers before they ask again."""
        return "closed" if self.users is not None else "open"

    @property
    def rate_curve(self) -> Curve | None:
        """Requests a second over the run; None for a closed loop or a replay."""
        if self.rate is None or self.duration_s is None:
            return None
        if self.saturation is not None and isinstance(self.rate, float):
            return Curve.of(_stairs(self.rate, self.saturation, self.duration_s), self.duration_s)
        return _curve(self.rate, self.duration_s)

    @property
    def users_curve(self) -> Curve | None:
        """Users over the run; None for an open loop."""
        return None if self.users is None or self.duration_s is None else _curve(self.users, self.duration_s)

    def to_json(self) -> dict[str, Any]:
        """Return all settings, defaults and `loop` among them, as plain values."""
        return {**self.model_dump(mode="json"), "loop": self.loop}


def _curve(level: Level, span_s: float) -> Curve:
    return Curve.of(level if isinstance(level, tuple) else ((0.0, level),), span_s)


def _stairs(rate: float, saturation: Saturation, span_s: float) -> list[Point]:
    points: list[Point] = []
    start_s = 0.0
    while start_s < span_s:
        points += [(start_s, rate), (start_s + saturation.step_s, rate)]
        start_s += saturation.step_s
        rate *= saturation.growth
    return points

"""All that a load test will send, drawn before it begins: numbers as columns, texts when they are asked for.

Every worker makes the whole plan from the scenario and takes its part of it. So the requests are the same
whatever the number of workers, and no worker waits for another to be told what to send.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modem.errors import ConfigError
from modem.load.arrivals import arrivals
from modem.load.padding import pad
from modem.load.planned import Planned, Turn
from modem.load.prompts import Prompts, deal, read_prompts
from modem.load.scenario import Lengths, Scenario
from modem.traces.mix import Mix, parse_mix
from modem.traces.source import load

CLOSED_LOOP_REQUESTS = 100_000
"""Length of a plan whose requests are sent when users come to them: more than a test will ask for."""

_PADDING = 1
"""Tells the generator of a prompt's passages from those of all else that is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """The turns of n requests one after another, m in all.

    Attributes:
        first: Where each request's turns begin, and the end of the last; shape ``[n + 1]``.
        text: Position of the question among the prompts of its domain; shape ``[m]`` like the others.
        prompt_tokens: Wanted length; 0 to leave the prompt as it is.
        max_tokens: Most tokens of the answer.
        stream: Whether it is asked for piece by piece.
        think_s: Wait before it is sent.
    """

    first: NDArray[np.int64]
    text: NDArray[np.int64]
    prompt_tokens: NDArray[np.int64]
    max_tokens: NDArray[np.int64]
    stream: NDArray[np.bool_]
    think_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A sequence of `Planned`, in the order in which they are sent.

    Attributes:
        at_s: When, in seconds from the start, ascending; shape ``[n]``. All 0 in a closed loop.
        span_s: How long is sent; not less than the last of ``at_s``.
        domains: Names of the domains.
        domain_index: Who ought to answer, as a position in ``domains``; shape ``[n]``.
        turns: What is asked.
        sessions: Whom it belongs to; one for each request, or none at all.
        prompts: Texts of each domain.
        seed: The scenario's.
    """

    at_s: NDArray[np.float64]
    span_s: float
    domains: tuple[str, ...]
    domain_index: NDArray[np.int64]
    turns: Turns
    sessions: tuple[str | None, ...]
    prompts: Prompts
    seed: int

    def __len__(self) -> int:
        return len(self.at_s)

    def __getitem__(self, index: int) -> Planned:
        if not 0 <= index < len(self):
            raise IndexError(index)
        domain = self.domains[self.domain_index[index]]
        positions = range(self.turns.first[index], self.turns.first[index + 1])
        return Planned(
            index,
            float(self.at_s[index]),
            domain,
            tuple(self._turn(position, domain) for position in positions),
            self._session(index),
        )

    def _turn(self, position: int, domain: str) -> Turn:
        turns = self.turns
        prompt = self.prompts[domain][turns.text[position]]
        wanted = int(turns.prompt_tokens[position])
        if wanted:
            prompt = pad(prompt, wanted, np.random.default_rng((self.seed, _PADDING, position)))
        return Turn(
            prompt,
            int(turns.max_tokens[position]),
            bool(turns.stream[position]),
            float(turns.think_s[position]),
        )

    def _session(self, index: int) -> str | None:
        if self.sessions:
            return self.sessions[index]
        several = self.turns.first[index + 1] - self.turns.first[index] > 1
        return f"session-{index}" if several else None


@dataclass(frozen=True, slots=True)
class _Generators:
    """One for each thing that is drawn, so that a change of one leaves the others as they were."""

    arrivals: np.random.Generator
    domains: np.random.Generator
    texts: np.random.Generator
    prompt_tokens: np.random.Generator
    output_tokens: np.random.Generator
    streams: np.random.Generator
    sessions: np.random.Generator
    thinking: np.random.Generator


def make_plan(scenario: Scenario) -> Plan:
    """Draw all requests of a scenario.

    Raises:
        ConfigError: Its prompts or its trace cannot be read, do not fit its mix, or nothing would be sent.
    """
    rng = _Generators(*np.random.default_rng((scenario.seed, 0)).spawn(8))
    prompts = read_prompts(scenario.prompts)
    mix = _mix(scenario, prompts)
    plan = _replayed(scenario, prompts, mix, rng) if scenario.replay else _made(scenario, prompts, mix, rng)
    if not len(plan):
        raise ConfigError(f"{scenario.name}: nothing would be sent; raise rate or duration_s")
    return plan


def _mix(scenario: Scenario, prompts: Prompts) -> Mix:
    mix = Mix.even(tuple(prompts)) if scenario.mix is None else parse_mix(scenario.mix)
    _check_domains(scenario, mix.domains, prompts)
    return mix


def _check_domains(scenario: Scenario, domains: tuple[str, ...], prompts: Prompts) -> None:
    lacking = [domain for domain in domains if domain not in prompts]
    if lacking:
        raise ConfigError(
            f"{scenario.name}: no prompts for {lacking[0]!r} in {scenario.prompts or 'the own prompts'}, "
            f"which have {', '.join(prompts)}: take it out of the mix, or name other prompts"
        )


def _made(scenario: Scenario, prompts: Prompts, mix: Mix, rng: _Generators) -> Plan:
    rate, span_s = scenario.rate_curve, scenario.duration_s or 0.0
    if rate is None:
        at_s = np.zeros(CLOSED_LOOP_REQUESTS)
    else:
        at_s = arrivals(scenario.arrivals, scenario.cv, rate, rng.arrivals)
    domain_index = mix.draw(at_s / span_s, rng.domains)
    first = _first_turns(scenario, len(at_s), rng)
    asked = np.repeat(domain_index, np.diff(first))
    begins = np.zeros(len(asked), np.bool_)
    begins[first[:-1]] = True
    turns = Turns(
        first=first,
        text=_deal(asked, mix.domains, prompts, rng),
        # A session's passages come with its first question, as those after it are about the same.
        prompt_tokens=np.where(begins, _drawn(scenario.prompt_tokens, len(asked), rng.prompt_tokens), 0),
        max_tokens=_drawn(scenario.output_tokens, len(asked), rng.output_tokens),
        stream=_streams(scenario, len(asked), rng),
        think_s=_thinking(scenario, begins, rng),
    )
    return Plan(at_s, span_s, mix.domains, domain_index, turns, (), prompts, scenario.seed)


def _replayed(scenario: Scenario, prompts: Prompts, mix: Mix, rng: _Generators) -> Plan:
    replay = scenario.replay
    assert replay is not None
    trace = load(replay.trace, rng.arrivals, tuple(prompts), mix).faster(replay.speed)
    if scenario.duration_s is not None:
        trace = trace.between(0.0, scenario.duration_s)
    number = len(trace)
    turns = Turns(
        first=np.arange(number + 1),
        text=_deal(trace.domain_index, trace.domains, prompts, rng),
        prompt_tokens=np.minimum(trace.prompt_tokens, replay.max_prompt_tokens or trace.prompt_tokens),
        max_tokens=np.minimum(trace.output_tokens, replay.max_output_tokens or trace.output_tokens),
        stream=_streams(scenario, number, rng),
        think_s=np.zeros(number),
    )
    return Plan(
        trace.t_s,
        trace.span_s,
        trace.domains,
        trace.domain_index,
        turns,
        trace.sessions,
        prompts,
        scenario.seed,
    )


def _first_turns(scenario: Scenario, number: int, rng: _Generators) -> NDArray[np.int64]:
    least, most = scenario.sessions.turns if scenario.sessions else (1, 1)
    counts = rng.sessions.integers(least, most, number, endpoint=True)
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))


def _deal(
    asked: NDArray[np.int64], domains: tuple[str, ...], prompts: Prompts, rng: _Generators
) -> NDArray[np.int64]:
    return deal(asked, np.array([len(prompts[domain]) for domain in domains]), rng.texts)


def _drawn(lengths: Lengths | None, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if lengths is None:
        return np.zeros(number, np.int64)
    drawn = lengths.median * np.exp(lengths.sigma * rng.standard_normal(number))
    return np.clip(np.rint(drawn), 1, lengths.max).astype(np.int64)


def _streams(scenario: Scenario, number: int, rng: _Generators) -> NDArray[np.bool_]:
    return rng.streams.random(number) < scenario.streaming_share


def _thinking(scenario: Scenario, begins: NDArray[np.bool_], rng: _Generators) -> NDArray[np.float64]:
    within = scenario.sessions.think_s if scenario.sessions else 0.0
    before = scenario.think_s if scenario.loop == "closed" else 0.0
    drawn = rng.thinking.standard_exponential(len(begins))
    return np.where(begins, before, within) * drawn

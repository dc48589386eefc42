"""A lower bound of the GPU-hours of one expert under any scaler, even one that knows the future.

For a trace and a target such as ``ttft_p99<2s`` it says: no number of replicas over time, however it was
chosen, that brings so many requests within the target costs less. It holds for the simulator's engine
(`modem.simulation.engine`), and it takes start-up and draining at their quickest.

The argument, for a target ``L`` that the share ``q`` of ``N`` requests must meet, ``m = N - ceil(q N)``:

1. *Misses.* Whatever is missed is taken to cost nothing: it may as well not have been sent. At most ``m``
   requests may be missed, so for every price ``p >= 0``

   .. code-block:: text

       cost >= min over all runs of (cost + p * misses) - p * m

   (weak duality). The right side is computed for many ``p``; each is a bound, and the greatest is returned.

2. *Replicas that are there.* Time is cut into slots of ``w``. Let ``k`` be the replicas that are running at
   any time from a slot's begin to ``L`` after its end. Prompts that arrive in a part ``[a, b]`` of the slot
   and meet the target are read by these ``k``, within ``b - a + L``, one after the other on each: with
   ``k = 0`` all are missed, and else at least as many as do not fit, the shortest prompts counted first.

3. *What replicas cost.* One that runs in ``n`` slots in a row runs for at least ``(n - 2) w - L``, since it
   may only touch the first and the last, and before it held its GPUs for at least the quickest start ``S``.
   So ``S - 2w - L`` for a start and ``w`` for each slot is no more than it costs. Replicas that are there at
   the begin cost ``(n - 1) w``. Where ``S < 2w + L`` a start is free and a slot counts
   ``w S / (2w + L)``, which is no more for any ``n``. The least of cost and price over all sequences of
   ``k`` is found by dynamic programming; more replicas may begin than the number rises by, which only costs
   more.

4. *Work.* Each request within the target takes time of some replica. Reading and writing share the time of
   an engine (``chunk_tokens``: a shared step takes as long as both parts), writing at the best batch takes
   the least. Likewise places in the batch and tokens of the KV cache, held from the first token to the last
   and for no less than the smallest step each. Of each resource a replica-second holds so much; so the
   sum of ``min(work, p)`` over the requests is a bound of cost and price together.

5. *Blocks.* Time is also cut into blocks of minutes. Within a block cost and price are at least the greater
   of what 2-3 and what 4 say of the requests that arrive in it, and blocks share neither requests nor
   seconds, so they add up. For this 3 counts only what lies within the block: a replica that first runs in
   the slot ``a`` slots after the block's first has been held since its start or since the block's begin,
   which is ``min(S - 2w - L, (a - 1) w)`` on top of the slots. And 4 counts only what must be done before
   the block's end: an engine works on each request that it has in every step, so a request in target has
   at least one token more for each longest step since ``L`` after its arrival. Several lengths of blocks are
   tried, up to the whole trace. Where ``S < 2w + L``, 3 is used for the whole trace only.

The bound of several targets is the greatest of theirs. A target for the whole answer is one for the first
token, too. Other targets say nothing here. Min replicas, queue limits and reports are not looked at: they
could only make it dearer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from modem.simulation.profile import Profile, Startup
from modem.slo import Slo, Target
from modem.traces.trace import Trace
from modem.tuning.measure import HOUR_S, cost_per_replica
from modem.tuning.problem import Problem
from modem.tuning.work import decode_tokens_per_s, least_first_token_s, prefill_s

BLOCKS_S = (300.0, 600.0, 1200.0, 3600.0, inf)
"""Lengths of blocks that are tried."""

SLOT_S = 10.0
"""Longest slot; starts that are quick need shorter ones."""

MOST_SLOTS = 20_000
MOST_REPLICAS = 64
"""With so many replicas a slot is taken to miss nothing."""

NUM_PRICES = 24

NUM_LEVELS = 6
"""A slot is looked at as a whole, in halves, and so on: how short bursts may be."""

_ROUNDING = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bound:
    """The least that any scaler can do with.

    Attributes:
        cost_hours: GPU-hours, or replica-hours where a replica takes no GPU.
        block_s: Length of the blocks that gave it.
        slot_s: Length of the slots.
        price_s: Price of a miss that gave it, in replica-seconds.
    """

    cost_hours: float
    block_s: float
    slot_s: float
    price_s: float


NOTHING = Bound(0.0, inf, SLOT_S, 0.0)


def lower_bound(profile: Profile, trace: Trace, slo: Slo, blocks_s: Sequence[float] = BLOCKS_S) -> Bound:
    """Return the bound for one expert.

    Args:
        profile: What a replica can do.
        trace: The expert's requests.
        slo: The targets.
        blocks_s: Lengths of blocks to try.
    """
    limits = [(target, _first_token_limit_s(target)) for target in slo.targets]
    bounds = [
        _of_target(profile, trace, target.share, limit_s, blocks_s)
        for target, limit_s in limits
        if limit_s is not None and len(trace)
    ]
    return max(bounds, key=lambda bound: bound.cost_hours, default=NOTHING)


def held_out_bound(problem: Problem) -> Bound:
    """Return the bound on what was held out for an expert; of several traces their bounds added up."""
    setup = problem.setup
    found = [
        lower_bound(setup.profile, each.trace.between(each.from_s, inf), problem.slo)
        for each in problem.held_out
    ]
    best = max(found, key=lambda bound: bound.cost_hours, default=NOTHING)
    return replace(best, cost_hours=sum(bound.cost_hours for bound in found))


def _first_token_limit_s(target: Target) -> float | None:
    limits = [target.limit_s(metric) for metric in ("ttft", "e2e")]
    return min((limit for limit in limits if limit is not None), default=None)


def _of_target(
    profile: Profile, trace: Trace, share: float, limit_s: float, blocks_s: Sequence[float]
) -> Bound:
    allowed = len(trace) - ceil(share * len(trace) - 1e-9)
    start_s = _least_start_s(profile.startup_s)
    slot_s = _slot_s(start_s, limit_s, trace.span_s)
    slots = _Slots.of(profile, trace, limit_s, slot_s)
    works = _works(profile, trace, limit_s)
    best = Bound(0.0, inf, slot_s, 0.0)
    for block_s in dict.fromkeys(min(each, _whole(trace.span_s, slot_s)) for each in blocks_s):
        length = max(1, round(block_s / slot_s))
        blocks = _Blocks(slots, length, start_s, limit_s, works)
        for price_s in _prices(slot_s, start_s):
            found = blocks.least(price_s) - price_s * allowed
            hours = max(found, 0.0) * cost_per_replica(profile) / HOUR_S
            if hours > best.cost_hours:
                best = Bound(float(hours), length * slot_s, slot_s, float(price_s))
    return best


def _least_start_s(startup: Startup) -> float:
    return min((*startup.samples, *startup.quantiles.values()))


def _slot_s(start_s: float, limit_s: float, span_s: float) -> float:
    """Return a slot's length: short enough for a start to be charged, long enough to be computed."""
    wanted = min(SLOT_S, max((start_s - limit_s) / 4, limit_s, 0.1))
    return max(wanted, span_s / MOST_SLOTS)


def _whole(span_s: float, slot_s: float) -> float:
    return (int(span_s / slot_s) + 1) * slot_s


def _prices(slot_s: float, start_s: float) -> Floats:
    """Return prices to try; one that is not the best is a bound too."""
    return np.concatenate(([0.0], np.geomspace(0.01, 20 * (start_s + slot_s) + 100, NUM_PRICES)))


# --- replicas that are there


@dataclass(frozen=True, slots=True, eq=False)
class _Slots:
    """The trace in slots.

    Attributes:
        slot_s: Length of one.
        missed: Requests of each slot that are missed at least, with so many replicas; shape
            ``[slots, replicas + 1]``.
    """

    slot_s: float
    missed: Floats

    @classmethod
    def of(cls, profile: Profile, trace: Trace, limit_s: float, slot_s: float) -> "_Slots":
        number = int(trace.span_s / slot_s) + 1
        work_s = prefill_s(profile, trace.prompt_tokens)
        slot = np.minimum((trace.t_s / slot_s).astype(np.int64), number - 1)
        begins = np.searchsorted(slot, np.arange(number + 1))
        missed = []
        for position in range(number):
            part = slice(begins[position], begins[position + 1])
            missed.append(_missed(trace.t_s[part] - position * slot_s, work_s[part], slot_s, limit_s))
        width = max((len(each) for each in missed), default=1)
        table = np.zeros((number, width))
        for position, each in enumerate(missed):
            table[position, : len(each)] = each
        return cls(slot_s, table)


def _missed(t_s: Floats, work_s: Floats, slot_s: float, limit_s: float) -> list[float]:
    """Return the requests of one slot that are missed at least with 0, 1, 2, ... replicas, up to none."""
    if not len(t_s):
        return [0.0]
    found = [float(len(t_s))]
    if work_s.sum() > limit_s:  # else one replica can have read all in time
        levels = [(slot_s / 2**level, _parts(t_s, work_s, slot_s / 2**level)) for level in range(NUM_LEVELS)]
        while found[-1] and len(found) < MOST_REPLICAS:
            rooms = [len(found) * (part_s + limit_s) * (1 + _ROUNDING) for part_s, _ in levels]
            missed = [
                sum(_beyond(p, room) for p in parts) for room, (_, parts) in zip(rooms, levels, strict=True)
            ]
            found.append(float(max(missed)))
        found[-1] = 0.0
        return found
    return [*found, 0.0]


def _parts(t_s: Floats, work_s: Floats, part_s: float) -> list[Floats]:
    """Return, for each part of a slot, the work of the shortest one, two, ... of its requests."""
    number = np.floor(t_s / part_s)
    ends = np.flatnonzero(np.diff(number)) + 1
    return [np.cumsum(np.sort(work)) for work in np.split(work_s, ends)]


def _beyond(sums: Floats, room_s: float) -> int:
    """Return how many requests do not fit."""
    return len(sums) - int(np.searchsorted(sums, room_s, side="right"))


# --- work


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """One resource's work for each request, in replica-seconds.

    Attributes:
        t_s: Arrivals.
        at_once_s: What is done by the time of the first token.
        later_s: What is done after it.
        delay_s: From the arrival to the latest first token in target.
        rate: Of ``later_s``, what is done at least in a second after that, until it is all done.
    """

    t_s: Floats
    at_once_s: Floats
    later_s: Floats
    delay_s: float
    rate: Floats

    def within(self, end_s: float, chosen: slice) -> Floats:
        """Return what must be done by a time, for some requests that arrive before it."""
        if end_s == inf:
            done: Floats = self.at_once_s[chosen] + self.later_s[chosen]
            return done
        left_s = np.maximum(end_s - self.t_s[chosen] - self.delay_s, 0.0)
        first = np.where(self.t_s[chosen] + self.delay_s <= end_s, self.at_once_s[chosen], 0.0)
        worked: Floats = first + np.minimum(self.later_s[chosen], left_s * self.rate[chosen])
        return worked


def _works(profile: Profile, trace: Trace, limit_s: float) -> tuple[_Work, ...]:
    steps_s = np.array([max(profile.decode.at(b), 1e-9) for b in range(1, profile.max_num_seqs + 1)])
    prefill = profile.prefill
    chunk_s = (
        prefill.chunk_tokens / prefill.tokens_per_s if prefill.chunk_tokens and prefill.tokens_per_s else 0.0
    )
    longest_s = float(steps_s.max()) + (0.0 if prefill.parallel else chunk_s)
    least_s = float(steps_s.min())
    tokens = (trace.output_tokens - 1).astype(np.float64)
    reading = prefill_s(profile, trace.prompt_tokens)
    token_s = 1 / decode_tokens_per_s(profile)
    none = np.zeros(len(trace))

    def work(at_once: Floats, later: Floats, rate: Floats) -> _Work:
        return _Work(trace.t_s, at_once, later, limit_s, rate)

    # In each step a request gets a token, and a token takes so much of an engine's time at least.
    writing = work(none, tokens * token_s, none + token_s / longest_s)
    found = [writing, work(reading, none, none)]
    if chunk_s and not prefill.parallel:
        found.append(work(reading, writing.later_s, writing.rate))
    # A place is held from the reading to the last token, at least so long.
    alone_s = least_first_token_s(profile, trace.prompt_tokens)
    seats = none + 1 / profile.max_num_seqs
    found.append(work(alone_s * seats, tokens * least_s * seats, seats))
    if profile.kv_capacity_tokens:
        held = (trace.prompt_tokens + trace.output_tokens) / profile.kv_capacity_tokens
        if float(held.max(initial=0.0)) <= 1:  # a longer one goes alone, and holds no more than all
            found.append(work(alone_s * held, tokens * least_s * held, held))
    return tuple(found)


# --- both


class _Blocks:
    """The trace in blocks of so many slots."""

    def __init__(
        self, slots: _Slots, length: int, start_s: float, limit_s: float, works: Sequence[_Work]
    ) -> None:
        self._slots = slots
        self._length = length
        self._charged_s, self._slot_cost_s = _charges(slots.slot_s, start_s, limit_s)
        if not self._charged_s and length < len(slots.missed):
            # A replica that is quick to start may serve a block's last requests without a second within it.
            self._slot_cost_s = 0.0
        self._work = [self._worked(works, begin) for begin in range(0, len(slots.missed), length)]

    def _worked(self, works: Sequence[_Work], begin: int) -> list[Floats]:
        slot_s, number = self._slots.slot_s, len(self._slots.missed)
        end = begin + self._length
        # What is left after the last block belongs to it.
        end_s = end * slot_s if end < number else inf
        t_s = works[0].t_s
        chosen = slice(
            int(np.searchsorted(t_s, begin * slot_s)), int(np.searchsorted(t_s, min(end_s, t_s[-1] + 1)))
        )
        return [work.within(end_s, chosen) for work in works]

    def least(self, price_s: float) -> float:
        """Return the least of cost and price of all misses, in replica-seconds."""
        total = 0.0
        for number, works in enumerate(self._work):
            begin = number * self._length
            missed = self._slots.missed[begin : begin + self._length]
            most = max(float(np.minimum(work, price_s).sum()) for work in works)
            total += max(self._of_replicas(missed, price_s), most, 0.0)
        return total

    def _of_replicas(self, missed: Floats, price_s: float) -> float:
        width = missed.shape[1]
        replicas = np.arange(width)
        slot_s = self._slots.slot_s
        # At the first slot replicas may be there already: one slot of each is not counted.
        best = price_s * missed[0]
        for after, row in enumerate(missed[1:], start=1):
            charge_s = min(self._charged_s, max(after - 1, 0) * slot_s) if self._charged_s else 0.0
            # From more replicas to fewer is free, from fewer to more costs a charge for each.
            down = np.minimum.accumulate(best[::-1])[::-1]
            up = np.minimum.accumulate(best - charge_s * replicas) + charge_s * replicas
            best = np.minimum(down, up) + self._slot_cost_s * replicas + price_s * row
        return float(best.min())


def _charges(slot_s: float, start_s: float, limit_s: float) -> tuple[float, float]:
    """Return what a start and what a slot cost at least; see 3 above."""
    spare_s = start_s - 2 * slot_s - limit_s
    if spare_s >= 0:
        return spare_s, slot_s
    return 0.0, slot_s * start_s / (2 * slot_s + limit_s)

"""The lower bound: no simulated run that meets the target is below it."""

from math import inf

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from modem.simulation.profile import Decode, Prefill, Profile, Startup
from modem.simulation.setup import Platform
from modem.simulation.simulate import simulate
from modem.slo import Slo, parse_slo
from modem.traces import synthetic
from modem.traces.lengths import LognormalLengths
from modem.traces.trace import Arrival, Trace
from modem.tuning.bound import NOTHING, lower_bound
from modem.tuning.measure import Run, measure
from tests.unit.simulation.builders import Factory, expert, profile

SLO = parse_slo("ttft_p90<2s")
SLOW = profile(startup_s=Startup(samples=(40.0, 60.0)), max_num_seqs=4)


def trace(*times: float, prompt: int = 100, output: int = 10, span_s: float | None = None) -> Trace:
    return Trace.of([Arrival(t, "math", prompt, output) for t in times], span_s)


def run(found: Profile, requests: Trace, script: list[tuple[float, int]], slo: Slo, seed: int = 0) -> Run:
    setup = expert(
        autoscaling={"min_replicas": 0, "max_replicas": 8},
        profile=found,
        max_ongoing_requests=8,
        graceful_shutdown_timeout_s=60.0,
    )
    result = simulate([setup], requests, Factory(math=script), seed, Platform())
    return measure(result, 0, slo)


def meets(found: Run, slo: Slo) -> bool:
    return all(
        target.budget_used(float(share)) <= 1 + 1e-9
        for target, share in zip(slo.targets, found.shares(), strict=True)
    )


profiles = st.builds(
    lambda start_s, chunk, parallel, seats, slope, kv, overhead: profile(
        prefill=Prefill(tokens_per_s=1000, chunk_tokens=chunk, parallel=parallel, overhead_s=overhead),
        decode=Decode(batch=(1, 8), step_s=(0.02, 0.02 + slope)),
        startup_s=Startup(samples=(start_s, 2 * start_s)),
        max_num_seqs=seats,
        kv_capacity_tokens=kv,
    ),
    start_s=st.sampled_from([0.0, 1.0, 5.0, 20.0, 60.0]),
    chunk=st.sampled_from([None, 200]),
    parallel=st.booleans(),
    seats=st.integers(1, 8),
    slope=st.sampled_from([0.0, 0.01, 0.1]),
    kv=st.sampled_from([None, 3000]),
    overhead=st.sampled_from([0.0, 0.1]),
)
scripts = st.lists(st.tuples(st.integers(1, 110), st.integers(0, 5)), max_size=6).map(
    lambda changes: sorted({float(t): n for t, n in changes}.items())
)
requests_of = st.builds(
    lambda rate, cv, seed, prompt, output: synthetic.gamma_bursty(
        np.random.default_rng(seed),
        rate,
        cv,
        120.0,
        LognormalLengths(prompt_median_tokens=prompt, output_median_tokens=output, sigma=0.7),
    ),
    rate=st.sampled_from([0.05, 0.3, 1.0, 2.0]),
    cv=st.sampled_from([0.5, 1.0, 4.0]),
    seed=st.integers(0, 10**6),
    prompt=st.sampled_from([10, 200, 1000]),
    output=st.sampled_from([1, 20, 200]),
)
slos = st.sampled_from(["ttft_p50<2s", "ttft_p90<2s", "ttft_p99<500ms", "ttft_p80<10s", "e2e_p90<20s"])


@settings(max_examples=35, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)
@given(found=profiles, requests=requests_of, first=st.integers(0, 5), script=scripts, slo=slos.map(parse_slo))
def test_no_run_that_meets_the_target_is_below_it(
    found: Profile, requests: Trace, first: int, script: list[tuple[float, int]], slo: Slo
) -> None:
    requests = _for_math(requests)
    assume(len(requests))
    figures = run(found, requests, [(0.0, first), *script], slo)
    assume(meets(figures, slo))
    bound = lower_bound(found, requests, slo, (20.0, 60.0, inf))
    assert bound.cost_hours <= figures.cost_hours + 1e-9


@settings(max_examples=15, deadline=None)
@given(found=profiles, requests=requests_of, replicas=st.integers(1, 6), slo=slos.map(parse_slo))
def test_no_fixed_fleet_that_meets_the_target_is_below_it(
    found: Profile, requests: Trace, replicas: int, slo: Slo
) -> None:
    requests = _for_math(requests)
    result = simulate([expert(profile=found, num_replicas=replicas)], requests, Factory(), 0)
    figures = measure(result, 0, slo)
    assume(len(requests) and meets(figures, slo))
    assert lower_bound(found, requests, slo, (20.0, 60.0, inf)).cost_hours <= figures.cost_hours + 1e-9


def _for_math(requests: Trace) -> Trace:
    return Trace.of(
        [Arrival(a.t_s, "math", a.prompt_tokens, a.output_tokens) for a in requests], requests.span_s
    )


def test_an_empty_trace_costs_nothing() -> None:
    assert lower_bound(SLOW, trace(span_s=100.0), SLO) == NOTHING


def test_a_target_that_limits_no_first_token_says_nothing() -> None:
    assert lower_bound(SLOW, trace(1.0, 2.0), parse_slo("itl_p99<1s")) == NOTHING


def test_steady_requests_keep_one_replica() -> None:
    bound = lower_bound(SLOW, trace(*np.arange(0.0, 1000.0, 1.0), span_s=1000.0), parse_slo("ttft_p100<2s"))
    assert 0.97 * 1000 / 3600 < bound.cost_hours <= 1000 / 3600


def test_a_pause_that_is_longer_than_a_start_is_slept_through() -> None:
    times = [*np.arange(0.0, 100.0, 1.0), *np.arange(900.0, 1000.0, 1.0)]
    slo = parse_slo("ttft_p100<2s")
    bound = lower_bound(SLOW, trace(*times, span_s=1000.0), slo)
    # Two stretches, and one start.
    assert 180 / 3600 < bound.cost_hours <= 240 / 3600
    slow = profile(startup_s=Startup(samples=(5000.0,)))
    assert lower_bound(slow, trace(*times, span_s=1000.0), slo).cost_hours > 950 / 3600


def test_a_burst_needs_replicas_at_once() -> None:
    steady = [float(t) for t in range(200)]
    burst = [100.0 + i / 100 for i in range(40)]  # 40 prompts of 0.5 s each within 0.4 s: 20 s of reading
    slo = parse_slo("ttft_p100<2s")
    alone = lower_bound(SLOW, trace(*steady, prompt=500), slo)
    both = lower_bound(SLOW, trace(*sorted(steady + burst), prompt=500), slo)
    # Some 20 s / 2.4 s replicas, less what lies over the end of a part; most of a start of 40 s is charged.
    assert both.cost_hours > alone.cost_hours + 6 * 25 / 3600
    # They are few enough to be missed by a laxer target.
    lax = lower_bound(SLOW, trace(*sorted(steady + burst), prompt=500), parse_slo("ttft_p80<2s"))
    assert lax.cost_hours < alone.cost_hours + 3 * 25 / 3600


def test_writing_takes_its_time() -> None:
    # 4 at once, 0.01 s a step: 400 tokens a second, and the trace wants 1,000 a second.
    requests = trace(*np.arange(0.0, 1000.0, 0.2), prompt=10, output=200)
    bound = lower_bound(SLOW, requests, parse_slo("ttft_p100<5s"))
    assert bound.cost_hours == pytest.approx(2.5 * 1000 / 3600, rel=0.05)


@given(requests=requests_of, q=st.integers(50, 99), more=st.integers(0, 20))
@settings(max_examples=12, deadline=None)
def test_a_stricter_target_costs_no_less(requests: Trace, q: int, more: int) -> None:
    lax, strict = f"ttft_p{q}<2s", f"ttft_p{min(q + more, 100)}<2s"
    found = [lower_bound(SLOW, requests, parse_slo(text)).cost_hours for text in (lax, strict)]
    assert found[0] <= found[1] + 1e-9

from collections import deque
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.simulation.engine import Engine
from modem.simulation.profile import Decode, Prefill, Profile
from modem.simulation.speeds import Speeds
from tests.unit.simulation.builders import profile

Request = tuple[float, int, int]


class Run:
    """Lets an engine work through requests (arrival, prompt tokens, answer tokens)."""

    def __init__(self, found: Profile, requests: list[Request]) -> None:
        self.first_s = [nan] * len(requests)
        self.finish_s = [nan] * len(requests)
        self.most = 0
        self.engine = Engine(
            Speeds.of(found), [r[1] for r in requests], [r[2] for r in requests], self.first_s, self.finish_s
        )
        coming = deque(sorted(range(len(requests)), key=lambda i: requests[i][0]))
        while coming or self.engine.next_s < inf:
            due_s = requests[coming[0]][0] if coming else inf
            if due_s <= self.engine.next_s:
                self.engine.push(coming.popleft(), due_s)
            else:
                self.engine.run(self.engine.next_s)
            self.most = max(self.most, self.engine.running)
            self.engine.retime()


def test_one_request_reads_then_writes() -> None:
    run = Run(profile(), [(2.0, 500, 11)])
    assert run.first_s == [pytest.approx(2.5)]
    assert run.finish_s == [pytest.approx(2.6)]
    assert run.engine.busy_s == pytest.approx(0.6)


def test_prompts_are_read_one_after_the_other() -> None:
    run = Run(profile(), [(0.0, 500, 1), (0.1, 300, 1), (0.2, 100, 1)])
    assert run.first_s == pytest.approx([0.5, 0.8, 0.9])
    assert run.finish_s == run.first_s


def test_prompts_side_by_side_do_not_wait() -> None:
    side = profile(prefill=Prefill(overhead_s=0.5, parallel=True), max_num_seqs=2)
    run = Run(side, [(0.0, 9, 1), (0.1, 9, 1), (0.2, 9, 1)])
    assert run.first_s == pytest.approx([0.5, 0.6, 1.0])  # the third waits for a place


def test_an_overhead_counts_for_each_prompt() -> None:
    run = Run(profile(prefill=Prefill(tokens_per_s=1000, overhead_s=0.25)), [(0.0, 100, 1), (0.0, 100, 1)])
    assert run.first_s == pytest.approx([0.35, 0.7])


def test_a_step_is_as_long_as_the_batch_makes_it() -> None:
    slower = profile(decode=Decode(batch=(1, 2), step_s=(0.1, 0.3)), prefill=Prefill())
    run = Run(slower, [(0.0, 1, 11), (0.5, 1, 3)])
    # Alone for 0.5 s: 5 steps. Together: 2 steps of 0.3 s. Alone again for the last 3.
    assert run.finish_s == pytest.approx([0.5 + 0.6 + 0.3, 1.1])


def test_reading_slows_writing_where_they_share_steps() -> None:
    shared = profile(prefill=Prefill(tokens_per_s=1000, chunk_tokens=100))
    run = Run(shared, [(0.0, 100, 101), (0.5, 400, 1)])
    # The second prompt needs four steps, each with a token of the first answer: 0.11 s each.
    assert run.first_s[1] == pytest.approx(0.5 + 0.44 + 0.01)
    alone = Run(shared, [(0.0, 100, 101)])
    assert run.finish_s[0] - alone.finish_s[0] == pytest.approx(0.4)
    apart = Run(profile(), [(0.0, 100, 101), (0.5, 400, 1)])
    assert apart.finish_s[0] == pytest.approx(alone.finish_s[0])


def test_the_cache_limits_who_gets_in() -> None:
    small = profile(kv_capacity_tokens=250, prefill=Prefill(tokens_per_s=1e6), max_num_seqs=9)
    run = Run(small, [(0.0, 90, 11), (0.0, 90, 11), (0.0, 90, 11)])
    assert run.most == 2
    assert run.first_s[2] == pytest.approx(run.finish_s[0], abs=1e-3)


def test_one_that_is_longer_than_the_whole_cache_goes_alone() -> None:
    small = profile(kv_capacity_tokens=100, prefill=Prefill(tokens_per_s=1e6))
    run = Run(small, [(0.0, 50, 5), (0.0, 500, 5), (0.0, 50, 5)])
    assert not any(isnan(time) for time in run.finish_s)
    assert run.most == 1


def test_what_it_tells_of_itself() -> None:
    first_s, finish_s = [nan] * 3, [nan] * 3
    engine = Engine(Speeds.of(profile(max_num_seqs=2)), [500, 200, 300], [101, 9, 9], first_s, finish_s)
    engine.admitted_s = {}
    for request in range(3):
        engine.push(request, 0.0)
    engine.retime()
    assert (engine.running, engine.num_waiting, engine.num_decoding) == (2, 1, 0)
    assert (engine.unread_tokens, engine.context_tokens(0.25)) == (1000, 0)
    engine.run(0.5)
    engine.retime()
    assert engine.num_decoding == 1
    assert engine.begun == [0]
    assert engine.context_tokens(0.6) == pytest.approx(500 + 1 + 10)
    assert engine.unread_tokens == 200 + 300
    assert engine.step_s() == 0.01
    assert [engine.num_tokens, engine.token_s] == pytest.approx([10, 0.1])
    assert sorted(engine.requests()) == [0, 1, 2]
    assert engine.admitted_s == {0: 0.0, 1: 0.0}


REQUESTS = st.lists(
    st.tuples(st.floats(0, 5), st.integers(1, 400), st.integers(1, 30)), min_size=1, max_size=25
)
PROFILES = st.builds(
    lambda batch, kv, parallel, overhead: profile(
        decode=Decode(batch=(1, 4), step_s=(0.01, 0.03)),
        prefill=Prefill(tokens_per_s=1000, overhead_s=overhead, parallel=parallel),
        max_num_seqs=batch,
        kv_capacity_tokens=kv,
    ),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(100, 2000)),
    st.booleans(),
    st.sampled_from((0.0, 0.05)),
)


def plodding(found: Profile, requests: list[Request]) -> list[float]:
    """Return when each request is complete: the same engine, written as slowly and plainly as can be.

    Every request has a counter of what is left of it, and all of them are counted down at each event.
    """
    order = sorted(range(len(requests)), key=lambda i: requests[i][0])
    read_left = {i: requests[i][1] / 1000 + found.prefill.overhead_s for i in order}
    write_left = {i: float(requests[i][2] - 1) for i in order}
    coming, waiting, reading, writing = deque(order), deque[int](), list[int](), list[int]()
    finish_s: dict[int, float] = {}
    now_s = 0.0
    while len(finish_s) < len(requests):
        kv = sum(requests[i][1] + requests[i][2] for i in (*reading, *writing))
        capacity = found.kv_capacity_tokens or inf
        if waiting and len(reading) + len(writing) < found.max_num_seqs:
            need = requests[waiting[0]][1] + requests[waiting[0]][2]
            if kv + need <= capacity or not (reading or writing):
                reading.append(waiting.popleft())
                continue
        step_s = found.decode.at(len(writing))
        active = reading if found.prefill.parallel else reading[:1]
        ahead = [read_left[i] for i in active] + [write_left[i] * step_s for i in writing]
        ahead += [requests[coming[0]][0] - now_s] if coming else []
        passed_s = max(min(ahead), 0.0)
        now_s += passed_s
        for i in active:
            read_left[i] -= passed_s
        for i in writing:
            write_left[i] -= passed_s / step_s
        for i in [i for i in writing if write_left[i] <= 1e-6]:
            writing.remove(i)
            finish_s[i] = now_s
        for i in [i for i in active if read_left[i] <= 1e-9]:
            reading.remove(i)
            if write_left[i] > 0:
                writing.append(i)
            else:
                finish_s[i] = now_s
        while coming and requests[coming[0]][0] <= now_s + 1e-12:
            waiting.append(coming.popleft())
    return [finish_s[i] for i in range(len(requests))]


@given(PROFILES, REQUESTS)
def test_the_virtual_clock_gives_what_counting_down_gives(found: Profile, requests: list[Request]) -> None:
    run = Run(found, requests)
    assert run.finish_s == pytest.approx(plodding(found, requests), abs=1e-4)


@given(PROFILES, REQUESTS)
def test_every_request_is_answered_in_time_and_nothing_is_left(
    found: Profile, requests: list[Request]
) -> None:
    run = Run(found, requests)
    for (arrived_s, prompt, output), first_s, finish_s in zip(
        requests, run.first_s, run.finish_s, strict=True
    ):
        assert first_s >= arrived_s + prompt / 1000 - 1e-6
        assert finish_s >= first_s + (output - 1) * 0.01 - 1e-4
    assert run.most <= found.max_num_seqs
    assert (run.engine.running, run.engine.num_waiting, run.engine.unread_tokens) == (0, 0, 0)
    assert run.engine.context_tokens(1e6) == 0
    assert run.engine.num_tokens == pytest.approx(sum(r[2] - 1 for r in requests), abs=1e-3)
    assert run.engine.busy_s <= max(run.finish_s) + 1e-6

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.load.padding import estimate_tokens
from modem.load.plan import CLOSED_LOOP_REQUESTS, make_plan
from modem.load.planned import Planned
from modem.load.scenario import Lengths, Replay, Saturation, Scenario, Sessions
from modem.traces import jsonl
from modem.traces.trace import ANY_DOMAIN, Arrival, Trace


def scenario(**values: Any) -> Scenario:
    return Scenario(**({"duration_s": 60.0, "rate": 5.0} | values))


def all_of(plan_of: Scenario) -> list[Planned]:
    plan = make_plan(plan_of)
    return [plan[index] for index in range(len(plan))]


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bursts": {"arrivals": "gamma", "cv": 3.0, "mix": "math=1 to other=1 to health=1"},
    "long": {"prompt_tokens": Lengths(median=300, sigma=0.5, max=800)},
    "sessions": {"sessions": Sessions(turns=(1, 4)), "streaming_share": 0.5},
    "replay": {
        "rate": None,
        "replay": Replay(trace="gamma:rate_rps=4,cv=2,duration_s=60"),
        "mix": "math=1,other=2",
    },
}


@given(
    st.sampled_from(list(KINDS)),
    st.integers(0, 2**32),
    st.integers(1, 7),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_requests_are_the_same_whatever_the_number_of_workers(
    kind: str, seed: int, num_workers: int, order: Any
) -> None:
    given_ = scenario(**KINDS[kind], seed=seed)
    alone = all_of(given_)
    together: list[Planned] = []
    workers = list(range(num_workers))
    order.shuffle(workers)
    for worker in workers:
        plan = make_plan(given_)  # each makes its own
        mine = list(range(worker, len(plan), num_workers))
        order.shuffle(mine)
        together += [plan[index] for index in mine]
    assert sorted(together, key=lambda planned: planned.index) == alone


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_makes_other_requests(kind: str) -> None:
    first, second = (all_of(scenario(**KINDS[kind], seed=seed)) for seed in (1, 2))
    assert [planned.at_s for planned in first] != [planned.at_s for planned in second]
    assert [planned.turns[0].prompt for planned in first] != [planned.turns[0].prompt for planned in second]


@pytest.mark.parametrize("kind", KINDS)
def test_requests_come_in_order_within_the_span(kind: str) -> None:
    plan = make_plan(scenario(**KINDS[kind]))
    assert (np.diff(plan.at_s) >= 0).all()
    assert plan.at_s[0] >= 0
    assert plan.at_s[-1] <= plan.span_s <= 60
    assert [plan[index].index for index in range(3)] == [0, 1, 2]
    assert plan[2].at_s == plan.at_s[2]


def test_a_change_of_one_thing_leaves_the_others() -> None:
    plain = make_plan(scenario())
    longer = make_plan(scenario(output_tokens=Lengths.fixed(9), streaming_share=0.5))
    assert (plain.at_s == longer.at_s).all()
    assert (plain.domain_index == longer.domain_index).all()
    assert [plain[i].turns[0].prompt for i in range(20)] == [longer[i].turns[0].prompt for i in range(20)]


def test_positions_outside_are_errors() -> None:
    plan = make_plan(scenario())
    for index in (-1, len(plan)):
        with pytest.raises(IndexError):
            plan[index]


def test_prompts_are_of_their_domain() -> None:
    plan = make_plan(scenario())
    for index in range(len(plan)):
        planned = plan[index]
        assert planned.turns[0].prompt in plan.prompts[planned.domain]
        assert planned.session is None


def test_the_mix_is_met() -> None:
    plan = make_plan(scenario(rate=50.0, mix="math=1,other=3"))
    assert plan.domains == ("math", "other")
    assert plan.domain_index.mean() == pytest.approx(0.75, abs=0.04)


def test_the_mix_moves_with_the_run() -> None:
    plan = make_plan(scenario(rate=100.0, mix="math=1 to other=1 to math=1"))
    others = [
        float(plan.domain_index[(plan.at_s >= t_s) & (plan.at_s < t_s + 15)].mean())
        for t_s in range(0, 60, 15)
    ]
    assert others == pytest.approx([0.25, 0.75, 0.75, 0.25], abs=0.06)


def test_without_a_mix_all_domains_that_have_prompts_get_the_same() -> None:
    plan = make_plan(scenario(rate=50.0))
    shares = np.bincount(plan.domain_index) / len(plan)
    assert shares == pytest.approx(np.full(5, 0.2), abs=0.04)


def test_own_prompts_can_be_given(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text('{"text": "May he?", "domain": "law"}\n', encoding="utf-8")
    assert {planned.turns[0].prompt for planned in all_of(scenario(prompts=str(file)))} == {"May he?"}


def test_lengths_are_log_normal_and_cut() -> None:
    plan = make_plan(scenario(rate=50.0, output_tokens=Lengths(median=60, sigma=0.8, max=200)))
    tokens = plan.turns.max_tokens
    assert np.median(tokens) == pytest.approx(60, rel=0.1)
    assert np.log(tokens[tokens < 200] / 60).min() < -1.5
    assert tokens.min() >= 1
    assert tokens.max() == 200
    assert (tokens == 200).mean() == pytest.approx(0.066, abs=0.02)  # ln(200 / 60) / 0.8 = 1.5 sigma


def test_prompts_are_brought_to_their_length() -> None:
    planned = all_of(scenario(prompt_tokens=Lengths.fixed(700)))
    assert all(estimate_tokens(each.turns[0].prompt) == pytest.approx(700, abs=2) for each in planned)
    assert len({each.turns[0].prompt for each in planned}) == len(planned)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_is_streamed(share: float) -> None:
    assert make_plan(scenario(rate=50.0, streaming_share=share)).turns.stream.mean() == pytest.approx(
        share, abs=0.04
    )


def test_sessions_have_several_questions_and_pauses() -> None:
    planned = all_of(
        scenario(rate=20.0, sessions=Sessions(turns=(2, 4), think_s=3.0), prompt_tokens=Lengths.fixed(300))
    )
    numbers = Counter(len(each.turns) for each in planned)
    assert set(numbers) == {2, 3, 4}
    assert min(numbers.values()) > 0.25 * len(planned)
    assert len({each.session for each in planned}) == len(planned)
    later = [turn for each in planned for turn in each.turns[1:]]
    assert np.mean([turn.think_s for turn in later]) == pytest.approx(3.0, rel=0.1)
    assert all(each.turns[0].think_s == 0 for each in planned)
    # The passages are asked about, not sent again.
    assert all(each.turns[0].prompt.startswith("Context:") for each in planned)
    assert not any(turn.prompt.startswith("Context:") for turn in later)


def test_a_session_of_one_question_is_none() -> None:
    planned = all_of(scenario(sessions=Sessions(turns=(1, 2))))
    assert {each.session is None for each in planned if len(each.turns) == 1} == {True}
    assert {each.session for each in planned if len(each.turns) == 2} == {
        f"session-{each.index}" for each in planned if len(each.turns) == 2
    }


def test_in_a_closed_loop_users_think_before_they_ask() -> None:
    plan = make_plan(scenario(rate=None, users=4.0, think_s=2.0))
    assert len(plan) == CLOSED_LOOP_REQUESTS
    assert not plan.at_s.any()
    assert plan.span_s == 60
    waits = [plan[index].turns[0].think_s for index in range(2000)]
    assert np.mean(waits) == pytest.approx(2.0, rel=0.1)
    assert min(waits) < 0.1


def test_a_closed_loop_without_thinking_asks_at_once() -> None:
    plan = make_plan(scenario(rate=None, users=4.0))
    assert not plan.turns.think_s.any()


def test_steps_of_a_saturation_run_get_their_share() -> None:
    plan = make_plan(scenario(rate=10.0, arrivals="constant", saturation=Saturation(step_s=20, growth=2)))
    assert np.histogram(plan.at_s, [0, 20, 40, 60])[0].tolist() == [200, 400, 800]


ROWS = [
    Arrival(0.0, "math", 40, 10, None),
    Arrival(8.0, "coding", 900, 500, "a"),
    Arrival(12.0, "coding", 1300, 20, "a"),
    Arrival(30.0, "math", 5, 7, None),
]


@pytest.fixture
def trace(tmp_path: Path) -> str:
    jsonl.write(tmp_path / "t.jsonl", Trace.of(ROWS))
    return str(tmp_path / "t.jsonl")


def replay(trace: str, **values: Any) -> Scenario:
    return scenario(
        rate=None, duration_s=values.pop("duration_s", None), replay=Replay(trace=trace, **values)
    )


def test_a_trace_is_replayed(trace: str) -> None:
    planned = all_of(replay(trace))
    assert [each.at_s for each in planned] == [0.0, 8.0, 12.0, 30.0]
    assert [each.domain for each in planned] == ["math", "coding", "coding", "math"]
    assert [each.session for each in planned] == [None, "a", "a", None]
    assert [each.turns[0].max_tokens for each in planned] == [10, 500, 20, 7]
    assert [len(each.turns) for each in planned] == [1, 1, 1, 1]
    lengths = [estimate_tokens(each.turns[0].prompt) for each in planned]
    assert lengths[1:3] == pytest.approx([900, 1300], abs=2)


def test_a_trace_is_replayed_faster_and_cut(trace: str) -> None:
    plan = make_plan(replay(trace, speed=4.0, duration_s=2.5, max_prompt_tokens=200, max_output_tokens=100))
    assert plan.at_s.tolist() == [0.0, 2.0]
    assert plan.span_s == 2.5
    assert plan[1].turns[0].max_tokens == 100
    assert estimate_tokens(plan[1].turns[0].prompt) == pytest.approx(200, abs=2)


def test_a_trace_without_domains_gets_them_by_the_mix(tmp_path: Path) -> None:
    path = tmp_path / "bare.jsonl"
    jsonl.write(path, Trace.of(Arrival(t / 10, ANY_DOMAIN, 50, 5) for t in range(2000)))
    given_ = scenario(rate=None, duration_s=None, replay=Replay(trace=str(path)), mix="math=1 to other=1")
    plan = make_plan(given_)
    halves = [plan.domain_index[:1000].mean(), plan.domain_index[1000:].mean()]
    assert plan.domains == ("math", "other")
    assert halves == pytest.approx([0.25, 0.75], abs=0.05)


@pytest.mark.parametrize("name", ["azure.csv", "mooncake.jsonl"])
def test_traces_of_others_are_replayed(tmp_path: Path, name: str) -> None:
    texts = {
        "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,100,44\n2023-11-16 18:15:50.6805900,200,109\n",
        "mooncake.jsonl": '{"timestamp": 0, "input_length": 100, "output_length": 44, "hash_ids": [1]}\n'
        '{"timestamp": 4000, "input_length": 200, "output_length": 109, "hash_ids": [1, 2]}\n',
    }
    (tmp_path / name).write_text(texts[name], encoding="utf-8")
    planned = all_of(replay(str(tmp_path / name), speed=2.0))
    assert [each.at_s for each in planned] == pytest.approx([0.0, 2.0])
    assert [each.turns[0].max_tokens for each in planned] == [44, 109]


def test_a_long_trace_is_planned_without_writing_its_prompts() -> None:
    plan = make_plan(replay("poisson:rate_rps=50,duration_s=4000,prompt_median_tokens=3000", speed=10.0))
    assert len(plan) > 190_000
    assert plan.span_s == 400
    assert all(before <= after for before, after in pairwise(plan.at_s[:1000]))
    assert estimate_tokens(plan[len(plan) - 1].turns[0].prompt) > 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"mix": "math=1,law=2"},
            "scenario: no prompts for 'law' in the own prompts, which have coding, health",
        ),
        ({"rate": 0.0}, "nothing would be sent; raise rate"),
        ({"prompts": "none.jsonl"}, r"none\.jsonl: cannot be read"),
        ({"rate": None, "replay": Replay(trace="none.csv")}, r"none\.csv: cannot be read"),
        ({"rate": 1e6}, "more than 5000000"),
    ],
)
def test_what_cannot_be_planned_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(scenario(**values))


def test_a_trace_with_a_domain_that_has_no_prompts_is_an_error(tmp_path: Path) -> None:
    jsonl.write(tmp_path / "t.jsonl", Trace.of([Arrival(0.0, "law", 1, 1)]))
    with pytest.raises(ConfigError, match=r"t\.jsonl:1: domain 'law' is none of coding, health"):
        make_plan(replay(str(tmp_path / "t.jsonl")))

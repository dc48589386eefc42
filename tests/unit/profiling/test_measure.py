"""A measured expert has the figures that it was made with."""

import pytest

from deployments.simulated import create_app
from modem.config import SimulatedExpertConfig
from modem.errors import ConfigError
from modem.experts.simulated import SimulatedEngine
from modem.profiling.build import Stated, build_profile
from modem.profiling.measure import Plan
from tests.unit.profiling.engines import SteppingEngine, measured

PLAN = Plan(prompt_words=(10, 100, 400), batches=(1, 2, 4, 8), answer_tokens=40, rounds=2)
STATED = Stated(name="math", startup_s=(3.0,))


def test_a_simulated_expert_is_what_its_settings_say() -> None:
    config = SimulatedExpertConfig(
        model_id="math", ttft_s=0.3, tpot_s=0.05, output_tokens=100, max_num_seqs=6, startup_s=3
    )
    found = measured(create_app(SimulatedEngine(config)), PLAN)
    profile = build_profile(found, PLAN, STATED)
    assert profile.prefill.tokens_per_s is None
    assert profile.prefill.overhead_s == pytest.approx(0.3, rel=0.05)
    assert profile.prefill.parallel
    assert profile.decode.batch == (1, 2, 4, 6)
    assert profile.decode.step_s == pytest.approx((0.05,) * 4, rel=0.05)
    assert profile.max_num_seqs == 6
    assert profile.kv_capacity_tokens is None
    assert profile.startup_s.samples == (3.0,)
    assert profile.source == "measured"


def test_an_engine_that_reads_in_turn_and_slows_down_together_is_measured_as_such() -> None:
    found = measured(SteppingEngine().app(), PLAN)
    profile = build_profile(found, PLAN, STATED)
    assert profile.prefill.tokens_per_s == pytest.approx(2000, rel=0.05)
    assert profile.prefill.overhead_s == pytest.approx(0.03, abs=0.005)
    assert not profile.prefill.parallel
    assert profile.decode.batch == (1, 2, 4, 6)
    assert profile.decode.step_s == pytest.approx((0.02, 0.025, 0.035, 0.045), rel=0.1)
    assert profile.max_num_seqs == 6
    assert profile.kv_capacity_tokens == 512 * 16


def test_what_the_expert_publishes_counts_unless_it_is_stated() -> None:
    found = measured(SteppingEngine().app(), PLAN)
    published = build_profile(found, PLAN, Stated(name="math"))
    assert published.startup_s.samples == (42.5,)
    assert "as the replica publishes it" in published.method
    stated = Stated(
        name="math",
        startup_s=(1.0, 2.0),
        max_num_seqs=128,
        kv_capacity_tokens=99,
        chunk_tokens=2048,
        gpus_per_replica=4,
        usd_per_gpu_hour=2.5,
    )
    profile = build_profile(found, PLAN, stated)
    assert profile.startup_s.samples == (1.0, 2.0)
    assert (profile.max_num_seqs, profile.kv_capacity_tokens) == (128, 99)
    assert (profile.prefill.chunk_tokens, profile.gpus_per_replica, profile.usd_per_gpu_hour) == (
        2048,
        4,
        2.5,
    )


def test_an_engine_that_is_never_full_is_said_to_take_at_least_that_many() -> None:
    found = measured(SteppingEngine(places=100).app(), PLAN)
    profile = build_profile(found, PLAN, STATED)
    assert profile.max_num_seqs == 8
    assert "never full" in profile.method


def test_a_server_that_refuses_more_ends_the_measurement_where_it_does() -> None:
    found = measured(SteppingEngine(places=100, most=4).app(), PLAN)
    assert {step.asked for step in found.steps} == {1, 2, 4}
    assert "Too many requests wait." in build_profile(found, PLAN, STATED).method


def test_prompts_beyond_the_context_are_left_out_while_two_lengths_remain() -> None:
    found = measured(SteppingEngine(max_words=150).app(), PLAN)
    assert {answer.prompt_tokens for answer in found.alone} == {10, 100}
    with pytest.raises(
        ConfigError, match=r"refuses prompts of 100 words.*context length is 50.*--prompt-words"
    ):
        measured(SteppingEngine(max_words=50).app(), PLAN)


def test_a_server_that_refuses_everything_is_named_with_its_reason() -> None:
    with pytest.raises(ConfigError, match="refuses 4 requests or fewer: Too many requests wait"):
        measured(SteppingEngine(most=0).app(), PLAN)
    with pytest.raises(ConfigError, match="refuses 4 requests or fewer: Too many"):
        measured(SteppingEngine(places=100, most=3).app(), PLAN)
    with pytest.raises(ConfigError, match="refuses 4 requests or fewer: Too many"):
        measured(SteppingEngine(places=100, most=4).app(), Plan((10, 100), (8,), 8, 1))


def test_no_start_up_time_is_an_error_that_says_what_to_give() -> None:
    found = measured(
        create_app(SimulatedEngine(SimulatedExpertConfig(model_id="math"))), Plan((10, 20), (1,), 4, 1)
    )
    with pytest.raises(ConfigError, match="--startup-s"):
        build_profile(found, PLAN, Stated(name="math"))


def test_the_progress_ends_where_it_was_said_to_end() -> None:
    assert PLAN.num_requests == 1 + 2 * (3 + 4 + 15)

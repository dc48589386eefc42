"""From a measurement to the profile that the simulator reads."""

from dataclasses import dataclass

from modem.errors import ConfigError
from modem.profiling.fits import Line, fit_decode, fit_prefill, places
from modem.profiling.measure import Measurement, Plan
from modem.profiling.scrape import Published
from modem.simulation.profile import Profile, Startup


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What is not measured over HTTP, or overrides what was.

    Attributes:
        name: Of the profile.
        startup_s: Measured starts, in seconds; what the replica publishes, if empty.
        max_num_seqs: Requests that the engine computes at once.
        kv_capacity_tokens: Tokens that its KV cache holds.
        chunk_tokens: Most prompt tokens of a step (vLLM's ``max_num_batched_tokens``).
        gpus_per_replica: GPUs of a replica.
        usd_per_gpu_hour: Price of one.
    """

    name: str
    startup_s: tuple[float, ...] = ()
    max_num_seqs: int | None = None
    kv_capacity_tokens: int | None = None
    chunk_tokens: int | None = None
    gpus_per_replica: float = 0.0
    usd_per_gpu_hour: float = 0.0


def build_profile(found: Measurement, plan: Plan, stated: Stated) -> Profile:
    """Fit the figures and say how they came about.

    Raises:
        ConfigError: How long a replica takes to start is neither stated nor published.
    """
    prefill, line = fit_prefill(found.alone, found.at_once)
    full = places(found.steps)
    return Profile(
        name=stated.name,
        source="measured",
        method=_method(found, plan, stated, line, full),
        prefill=prefill.model_copy(update={"chunk_tokens": stated.chunk_tokens}),
        decode=fit_decode(found.steps),
        max_num_seqs=stated.max_num_seqs or full or max(step.together for step in found.steps),
        kv_capacity_tokens=stated.kv_capacity_tokens or found.published.kv_capacity_tokens,
        startup_s=Startup(samples=starts(stated.startup_s, found.published)),
        gpus_per_replica=stated.gpus_per_replica,
        usd_per_gpu_hour=stated.usd_per_gpu_hour,
    )


def starts(stated_s: tuple[float, ...], published: Published) -> tuple[float, ...]:
    """Return the known starts of a replica, in seconds: those that are stated, else the published one.

    Raises:
        ConfigError: There are none.
    """
    if stated_s:
        return stated_s
    if published.startup_s is None:
        raise ConfigError(
            "the expert does not say how long it took to start (modem_startup_s in its metrics); "
            "give it by --startup-s"
        )
    return (round(published.startup_s, 3),)


def _method(found: Measurement, plan: Plan, stated: Stated, line: Line, full: int | None) -> str:
    lengths = [answer.prompt_tokens for answer in found.alone]
    most = max(step.asked for step in found.steps)
    parts = [
        f"modem profile: {len(found.alone)} prompts of {min(lengths)} to {max(lengths)} tokens in turn: "
        f"time to first token = {line.intercept:.4g} s + {line.slope:.3g} s a token, R² {line.r2:.2f}",
        f"up to {most} answers of {plan.answer_tokens} tokens at once, {plan.rounds} rounds, medians",
    ]
    if stated.max_num_seqs is None and full is None:
        why = f" (refused: {found.refused})" if found.refused else ""
        parts.append(f"the engine was never full{why}: max_num_seqs is at least what is given")
    parts.append(f"start-up {'stated' if stated.startup_s else 'as the replica publishes it'}")
    return "; ".join(parts) + "."

"""``modem profile``: measures a running expert for the simulator."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.cli.router_eval import write
from modem.errors import ConfigError

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from modem.profiling.measure import Measurement, Plan
    from modem.simulation.profile import Profile

_SEED = 0


def profile(
    url: Annotated[str, typer.Option(help="Of a replica or of a gateway: http://HOST:PORT, without /v1.")],
    model: Annotated[
        str | None, typer.Option(help="The name it answers under, such as math; the only one it lists.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the profile; the model's by default.")] = None,
    startup_s: Annotated[
        list[float] | None,
        typer.Option(min=0, help="A measured start; repeatable. What the replica publishes by default."),
    ] = None,
    prompt_words: Annotated[
        str, typer.Option(help="Lengths of prompts, ascending; those too long are left out.")
    ] = "16,64,256,768",
    batches: Annotated[
        str, typer.Option(help="Requests at once, ascending; ends where the engine is full.")
    ] = "1,2,4,8,16,32,64,128,256",
    answer_tokens: Annotated[int, typer.Option(min=2, help="Length of the answers.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 3,
    max_num_seqs: Annotated[
        int | None, typer.Option(min=1, help="Of the engine; by default what is seen when it is full.")
    ] = None,
    kv_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of its KV cache; by default what its metrics say.")
    ] = None,
    chunk_tokens: Annotated[
        int | None, typer.Option(min=1, help="vLLM's max_num_batched_tokens, if prompts are read in chunks.")
    ] = None,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of a replica.")] = 0,
    usd_per_gpu_hour: Annotated[float, typer.Option(min=0, help="Price of one of them.")] = 0,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest wait for an answer.")] = 900,
) -> None:
    """Measure a running expert and write its profile: how fast it reads and writes, and how many at once.

    The expert should have nothing else to do meanwhile, and one replica. Measure the replica's own port
    where you can reach it: through a gateway the gateway's own time is in the figures.

    Exit status: 0 done, 2 the server or an option is wrong.
    """
    from modem.profiling.build import Stated, build_profile
    from modem.profiling.measure import Plan

    try:
        plan = Plan(
            _numbers("--prompt-words", prompt_words, 2),
            _numbers("--batches", batches, 1),
            answer_tokens,
            rounds,
        )
        with progress_bar("measuring") as progress:
            starts = tuple(startup_s or ())
            model, found = asyncio.run(_measure(url, model, plan, starts, timeout_s, progress))
        stated = Stated(
            name=name or model,
            startup_s=starts,
            max_num_seqs=max_num_seqs,
            kv_capacity_tokens=kv_tokens,
            chunk_tokens=chunk_tokens,
            gpus_per_replica=gpus,
            usd_per_gpu_hour=usd_per_gpu_hour,
        )
        result = build_profile(found, plan, stated)
        if out is not None:
            write(out, result.to_json())
    except ConfigError as error:
        fail(error)
    if out is None:
        typer.echo(result.to_json(), nl=False)
    else:
        _print(result, out)


async def _measure(
    url: str,
    model: str | None,
    plan: "Plan",
    starts_s: tuple[float, ...],
    timeout_s: float,
    progress: Callable[[int, int], None],
) -> "tuple[str, Measurement]":
    import aiohttp

    from modem.profiling.build import starts
    from modem.profiling.client import ExpertClient
    from modem.profiling.measure import measure

    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        model = model or await _only_model(session, url)
        client = ExpertClient(session, url, model, time.perf_counter)
        rng = random.Random(_SEED)
        return model, await measure(client, plan, rng, progress, lambda found: starts(starts_s, found))


async def _only_model(session: "ClientSession", url: str) -> str:
    from modem.profiling.client import served_models

    models = await served_models(session, url)
    if len(models) == 1:
        return models[0]
    names = f"it has {', '.join(models)}" if models else "it lists none"
    raise ConfigError(f"{url}: which model? {names}; give one as --model")


def _numbers(option: str, text: str, least: int) -> tuple[int, ...]:
    """Read ascending whole numbers between commas.

    Raises:
        ConfigError: They are none, or too few.
    """
    parts = [part.strip() for part in text.split(",")]
    if all(part.isdecimal() and int(part) > 0 for part in parts):
        numbers = tuple(map(int, parts))
        if len(numbers) >= least and list(numbers) == sorted(set(numbers)):
            return numbers
    raise ConfigError(f"{option} {text}: write at least {least} whole numbers, ascending, such as 1,2,4")


def _print(result: "Profile", out: Path) -> None:
    from modem.cli.router_eval import show
    from modem.evaluation.tables import Table

    speed = result.prefill.tokens_per_s
    rows = [
        ("reads prompts", f"{speed:,.0f} tokens/s" if speed else "at any length alike"),
        ("for each prompt", f"{1000 * result.prefill.overhead_s:.1f} ms"),
        ("prompts at once", "side by side" if result.prefill.parallel else "one after the other"),
        *(
            (f"a token, {batch} at once", f"{1000 * step:.1f} ms")
            for batch, step in zip(result.decode.batch, result.decode.step_s, strict=True)
        ),
        ("requests at once", str(result.max_num_seqs)),
        ("KV cache", f"{result.kv_capacity_tokens:,} tokens" if result.kv_capacity_tokens else "unknown"),
        ("start", f"{result.startup_s.median_s:g} s"),
    ]
    show([Table(result.name, ("what", "measured"), tuple(rows)), f"wrote {out}"])

"""All strategies on the same prompts: what each gets right, and what it costs."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modem.config import GatewayConfig
from modem.errors import ConfigError
from modem.evaluation.evaluate import NUM_TIMED, SetFigures, set_figures
from modem.evaluation.measure import Cost, measure_cost, serving_all
from modem.evaluation.memory import Memory
from modem.evaluation.sets import COMMITTED, EvaluationSet
from modem.evaluation.tables import Table, make_table, percent
from modem.routing.base import Router
from modem.routing.strategies.catalogue import WHEN
from modem.routing.strategies.embedded import Encoder, load_encoder
from modem.types import DomainScores, RouterIdentity


@dataclass(frozen=True, slots=True)
class Prompts:
    """What strategies are fitted to.

    Attributes:
        texts: As a router reads them.
        labels: Their domains.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to make a router.

    Attributes:
        name: A key of `modem.routing.strategies.catalogue.WHEN`, or any other.
        fit: Makes the router.
        fitted: Whether ``fit`` learns from the prompts; its seconds say nothing otherwise.
    """

    name: str
    fit: Callable[[Prompts], Router]
    fitted: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """One strategy's figures.

    Attributes:
        name: Of the strategy.
        router: What it made.
        fit_s: Seconds to fit it, encoder included; None if it was trained before.
        cost: Of one decision.
        sets: Figures of each set.
    """

    name: str
    router: RouterIdentity
    fit_s: float | None
    cost: Cost
    sets: tuple[SetFigures, ...]


class SharedRouter:
    """A router that other strategies use too: what it said of a text is remembered.

    Args:
        router: What is shared.
    """

    def __init__(self, router: Router) -> None:
        self.identity, self.domains = router.identity, router.domains
        self.memory: Memory[DomainScores] = Memory(router.score)

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        """Score each text."""
        return self.memory(texts)


def standard_strategies(encoder: Encoder, shared: SharedRouter, name: str = "compact") -> list[Strategy]:
    """Return the strategies that need nothing but prompts, an encoder and a trained router.

    Args:
        encoder: For those on frozen embeddings.
        shared: The trained router.
        name: What it is called in the table.
    """
    from modem.routing.strategies import knn, lexical, majority, ridge
    from modem.routing.strategies.ensemble import EnsembleRouter

    def ensemble(prompts: Prompts) -> Router:
        return EnsembleRouter([shared, knn.fit(prompts.texts, prompts.labels, encoder)], [2.0, 1.0])

    return [
        Strategy("majority", lambda p: majority.fit(p.texts, p.labels)),
        Strategy("tfidf-linear", lambda p: lexical.fit(p.texts, p.labels)),
        Strategy("knn", lambda p: knn.fit(p.texts, p.labels, encoder)),
        Strategy("ridge", lambda p: ridge.fit(p.texts, p.labels, encoder)),
        Strategy(name, lambda p: shared, fitted=False),
        Strategy("ensemble", ensemble),
    ]


def remembered(encoder: Encoder) -> tuple[Encoder, Memory[NDArray[np.float32]]]:
    """Return an encoder that embeds each text once, and its memory."""
    memory: Memory[NDArray[np.float32]] = Memory(lambda texts: list(encoder.embed(texts)))
    return Encoder(lambda texts: np.stack(memory(texts)), encoder.sha256), memory


def compare(
    strategies: Sequence[Strategy],
    prompts: Prompts,
    sets: Sequence[EvaluationSet],
    memories: Sequence[Memory[Any]] = (),
    done: Callable[[Outcome, Router], None] = lambda outcome, router: None,
) -> list[Outcome]:
    """Fit and measure each strategy.

    Args:
        strategies: At least one.
        prompts: To fit to; none of them in the sets.
        sets: To measure on.
        memories: Switched off while something is timed.
        done: Called after each strategy.
    """
    gateway = serving_all(sorted(set(prompts.labels)))
    outcomes = []
    for strategy in strategies:
        router, fit_s = _fit(strategy, prompts, memories)
        outcome = _outcome(strategy, router, fit_s, sets, gateway, memories)
        done(outcome, router)
        outcomes.append(outcome)
    return outcomes


def tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """Return the comparison: an overview, each of the project's own sets, and what to pick when."""
    own = {file.stem for file in COMMITTED.glob("*.jsonl")}
    names = [found.name for found in outcomes[0].sets]
    header = ("strategy", "fit s", "CPU ms", "ECE", *(name for name in names if name not in own), "own sets")
    rows = [_overview_row(outcome, own) for outcome in outcomes]
    note = (
        'Accuracy of the most probable domain. "fit s": seconds to fit, embedding included. "CPU ms": '
        'processor time of one decision. "ECE" and "own sets": means over all sets and over our own.'
    )
    overview = make_table("Strategies", header, rows, note)
    details = make_table(
        "Strategies on the project's own sets",
        ("strategy", *(name for name in names if name in own)),
        ((one.name, *(percent(s.scores.accuracy) for s in one.sets if s.name in own)) for one in outcomes),
    )
    picks = ((one.name, WHEN.get(one.name, WHEN["encoder"])) for one in outcomes)
    found = [overview, details] if any(name in own for name in names) else [overview]
    return [*found, make_table("Which to pick when", ("strategy", "pick it if"), picks)]


def prompts_from(
    folders: Sequence[Path], sets: Sequence[EvaluationSet], per_domain: int, per_source: int, seed: int
) -> Prompts:
    """Draw prompts to fit to: none that is held out, none that repeats a set.

    Args:
        folders: With JSONL files of prompt, domain and source.
        sets: What is measured on.
        per_domain: Most prompts of a domain.
        per_source: Most prompts of a source within a domain.
        seed: Draws them.

    Raises:
        ConfigError: A file is wrong, or nothing is left.
    """
    from modem.training import data
    from modem.training.dedup import deduplicate

    training, _ = data.split(prompt for folder in folders for prompt in data.read_prompts(folder))
    # More than are needed, for some will be dropped; the rest need not be compared.
    drawn = data.sample(training, 2 * per_domain, 2 * per_source, seed)
    apart = {found.name: [_prompt(case.prompt, case.domain) for case in found.cases] for found in sets}
    kept = data.sample(deduplicate(drawn, apart).prompts, per_domain, per_source, seed)
    if not kept:
        raise ConfigError("no prompts are left to fit to: all are held out or repeat a set")
    return Prompts(tuple(prompt.routed() for prompt in kept), tuple(prompt.domain for prompt in kept))


def default_encoder() -> Encoder:
    """Return the encoder of the router extra."""
    return load_encoder("package")


def _prompt(text: str, domain: str) -> Any:
    from modem.training.data import Prompt

    return Prompt(text, domain, "", "")


def _fit(
    strategy: Strategy, prompts: Prompts, memories: Sequence[Memory[Any]]
) -> tuple[Router, float | None]:
    """Fit a strategy; what it found in a memory counts as if it had computed it."""
    started, saved = time.perf_counter(), sum(memory.saved_s for memory in memories)
    router = strategy.fit(prompts)
    fit_s = time.perf_counter() - started + sum(memory.saved_s for memory in memories) - saved
    return router, fit_s if strategy.fitted else None


def _outcome(
    strategy: Strategy,
    router: Router,
    fit_s: float | None,
    sets: Sequence[EvaluationSet],
    gateway: GatewayConfig,
    memories: Sequence[Memory[Any]],
) -> Outcome:
    figures = tuple(set_figures(found, router, gateway) for found in sets)
    with ExitStack() as stack:
        for memory in memories:
            stack.enter_context(memory.off())
        cost = measure_cost(router, sets[0].cases[:NUM_TIMED], gateway)
    return Outcome(strategy.name, router.identity, fit_s, cost, figures)


def _overview_row(outcome: Outcome, own: set[str]) -> tuple[str, ...]:
    of_own = [found.scores.accuracy for found in outcome.sets if found.name in own]
    others = [found.scores.accuracy for found in outcome.sets if found.name not in own]
    return (
        outcome.name,
        "-" if outcome.fit_s is None else f"{outcome.fit_s:.1f}",
        f"{outcome.cost.cpu_ms:.1f}",
        f"{np.mean([found.calibration.ece for found in outcome.sets]):.3f}",
        *(percent(accuracy) for accuracy in others),
        percent(float(np.mean(of_own)) if of_own else None),
    )

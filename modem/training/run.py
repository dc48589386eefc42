"""One training, from prompts to a folder that can be served."""

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from modem.config import RouterConfig
from modem.errors import ConfigError
from modem.routing.base import Embedder, Router
from modem.routing.calibration import softmax
from modem.routing.folder import BACKGROUND
from modem.routing.load import load_router
from modem.routing.network_router import NetworkRouter, Outputs
from modem.training import dedup, folder
from modem.training.augment import speaker
from modem.training.checkpoints import begin, finish
from modem.training.corpus import OTHER, Corpus
from modem.training.data import Prompt
from modem.training.fit import Fit
from modem.training.loading import Loaded, load
from modem.training.metrics import Evaluation, evaluate
from modem.training.neighbours import Chosen, Scored, choose, fit_points, write_points
from modem.training.probe import fit_probe
from modem.training.recipe import Recipe
from modem.training.select import MAX_PROMPTS, Candidate, select

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Opens a progress bar with a title over so many texts; yields what to call with numbers done."""

NUM_COMPARED = 200
"""Held-out prompts on which the written router is compared with the network."""

_CHUNK = 64
"""Prompts between two steps of the progress bar."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a router says about one set.

    Attributes:
        probabilities: Shape ``[n, k]``.
        labels: The n true domains.
        figures: The comparison of both.
    """

    probabilities: NDArray[np.float64]
    labels: tuple[str, ...]
    figures: Evaluation


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training.

    Attributes:
        recipe: How.
        base: Name of the encoder it started from.
        version: Differs whenever the weights do.
        domains: In the order of the outputs.
        probe: The linear probe it started from; None without one.
        candidates: The mixtures of the weights before and after training, the one taken first;
            empty for a kind that mixes none.
        neighbours: How the neighbours vote; None if they do not.
        measured: The written router on each set that chose, as it is served.
        max_difference: Greatest difference of a probability between the written router and the network
            that was trained, on `NUM_COMPARED` held-out prompts: what quantising or bfloat16 brings.
        weights_bytes: Size of the weights file.
        seconds: Duration of the training.
    """

    recipe: Recipe
    base: str
    version: str
    domains: tuple[str, ...]
    probe: Fit | None
    candidates: tuple[Candidate, ...]
    neighbours: Chosen | None
    measured: Mapping[str, Measured]
    max_difference: float
    weights_bytes: int
    seconds: float


def train(recipe: Recipe, corpus: Corpus, out: Path, resume: bool, today: datetime.date, bar: Bar) -> Trained:
    """Train, choose, write and measure a router. Takes minutes to hours.

    Args:
        recipe: How.
        corpus: What to learn and to measure on.
        out: Folder to write.
        resume: Go on from the last checkpoint in it.
        today: Written into the router.
        bar: Opens progress bars.

    Raises:
        ConfigError: The base cannot be loaded, or the folder holds another unfinished training.
    """
    started = time.monotonic()
    out = out.absolute()  # "shipped" by itself is the name of the package's own router
    domains = corpus.domains()
    checkpoints = begin(recipe, out, resume)
    folder.write_json(out / "dedup.json", dedup.report(corpus.deduplicated))
    loaded = load(recipe, domains)
    probe, candidates = _learn(recipe, corpus, loaded, checkpoints, bar)
    version = _write(recipe, loaded, domains, out, today)
    max_difference = _difference(recipe, loaded, corpus.held_out, out)
    neighbours = _let_vote(recipe, corpus, domains, out, bar) if recipe.neighbours else None
    router = load_router(RouterConfig(kind=recipe.kind, model=str(out)))
    folder.write_background(out, corpus.training, domains, cast(Embedder, router))
    sets = corpus.measured_on()
    with bar("measuring", sum(map(len, sets.values()))) as step:
        measured = {name: _measure(prompts, domains, router, step) for name, prompts in sets.items()}
    trained = Trained(
        recipe=recipe,
        base=loaded.base,
        version=version,
        domains=domains,
        probe=probe,
        candidates=candidates,
        neighbours=neighbours,
        measured=measured,
        max_difference=max_difference,
        weights_bytes=(out / folder.WEIGHTS[recipe.kind]).stat().st_size,
        seconds=time.monotonic() - started,
    )
    finish(out)
    return trained


def _learn(
    recipe: Recipe, corpus: Corpus, loaded: Loaded, checkpoints: Path, bar: Bar
) -> tuple[Fit | None, tuple[Candidate, ...]]:
    """Probe, fine-tune, and mix the weights before and after."""
    from modem.training.network import snapshot

    sets = corpus.measured_on()
    probe = None
    if recipe.linear_probe:
        with bar("linear probe", len(corpus.training) + sum(map(len, sets.values()))) as step:
            probe = fit_probe(loaded, corpus, recipe.max_tokens, step)
    before = snapshot(loaded.network)
    fine_tune_soup(recipe, corpus, loaded, checkpoints)
    if recipe.kind == "encoder":
        return probe, ()
    alphas = recipe.alphas
    num_texts = len(alphas) * sum(min(len(prompts), MAX_PROMPTS) for prompts in sets.values())
    with bar("mixing weights", num_texts) as step:
        candidates = select(loaded, before, alphas, sets, corpus.domains(), recipe.max_tokens, step)
    loaded.network.shift_bias(prior_shift(recipe.prior, corpus.domains()))
    return probe, candidates


def fine_tune_soup(recipe: Recipe, corpus: Corpus, loaded: Loaded, checkpoints: Path) -> None:
    """Fine-tune the networks of a soup, one after the other, and leave their mean."""
    from modem.training.network import interpolate, snapshot
    from modem.training.trainer import Prompts, fine_tune

    domains, before = corpus.domains(), snapshot(loaded.network)
    mean = before
    for number, training in enumerate((corpus.training, *corpus.further)):
        own = recipe.model_copy(update={"seed": recipe.seed + number})
        labels = _labels(own, training, domains)
        say = speaker(training, own.augmentation, corpus.templates)
        prompts = Prompts(say, labels, loaded.tokenizer, own.max_tokens, own.seed)
        loaded.network.load_state_dict(before)
        fine_tune(loaded, own, prompts, _class_weights(own, labels), checkpoints / str(number))
        mean = interpolate(mean, snapshot(loaded.network), 1 / (number + 1))
    loaded.network.load_state_dict(mean)


def prior_shift(prior: Mapping[str, float], domains: Sequence[str]) -> NDArray[np.float32]:
    """Return what turns the logits of a training with equal domains into those under a prior.

    Raises:
        ConfigError: The prior names a domain that the data has not.
    """
    unknown = sorted(set(prior) - set(domains))
    if unknown:
        raise ConfigError(f"recipe: prior names {unknown[0]!r}; the data has {', '.join(domains)}")
    rest = (1 - sum(prior.values())) / max(len(domains) - len(prior), 1)
    shares = np.array([prior.get(domain, rest) for domain in domains])
    shift: NDArray[np.float32] = np.log(shares * len(domains)).astype(np.float32)
    return shift


def _labels(recipe: Recipe, training: Sequence[Prompt], domains: Sequence[str]) -> list[int]:
    """Return the column of each training prompt's domain, and of the random characters after them."""
    labels = [domains.index(prompt.domain) for prompt in training]
    return labels + [domains.index(OTHER)] * recipe.augmentation.noise if OTHER in domains else labels


def _class_weights(recipe: Recipe, labels: Sequence[int]) -> NDArray[np.float64] | None:
    """Return weights of mean 1 over the prompts under which all domains count the same."""
    if not recipe.class_weights:
        return None
    sizes = np.bincount(labels)
    weights: NDArray[np.float64] = len(labels) / (len(sizes) * sizes)
    return weights


def _write(recipe: Recipe, loaded: Loaded, domains: Sequence[str], out: Path, today: datetime.date) -> str:
    """Write what serving reads; returns the version."""
    # Of an earlier router in this folder it would not fit.
    (out / BACKGROUND).unlink(missing_ok=True)
    write = folder.write_compact if recipe.kind == "compact" else folder.write_encoder
    version = folder.version_of(write(loaded, out), today)
    folder.write_router(out, recipe, loaded, domains, version, today)
    return version


def _measure(
    prompts: Sequence[Prompt], domains: Sequence[str], router: Router, step: Callable[[int], None]
) -> Measured:
    """Measure a router on prompts as they stand."""
    rows: list[list[float]] = []
    for start in range(0, len(prompts), _CHUNK):
        chunk = prompts[start : start + _CHUNK]
        found = router.score([prompt.routed() for prompt in chunk])
        rows += [[one.scores[domain] for domain in domains] for one in found]
        step(len(chunk))
    labels = tuple(prompt.domain for prompt in prompts)
    probabilities = np.array(rows)
    return Measured(probabilities, labels, evaluate(probabilities, labels, domains))


def _let_vote(recipe: Recipe, corpus: Corpus, domains: Sequence[str], out: Path, bar: Bar) -> Chosen:
    """Write the neighbours of a compact router, and how they vote into its file."""
    from modem.routing.compact import CompactRouter

    assert recipe.neighbours is not None
    network = CompactRouter(out)
    sets = corpus.measured_on()
    with bar("neighbours", len(corpus.voting) + sum(map(len, sets.values()))) as step:
        found = _outputs(network, corpus.voting, step)
        bias = prior_shift(recipe.prior, domains)
        points = fit_points(found.embeddings, _columns(corpus.voting, domains), bias, recipe.neighbours.dim)
        scored = {
            name: Scored(_outputs(network, prompts, step), _columns(prompts, domains))
            for name, prompts in sets.items()
        }
    chosen = choose(points, scored)
    write_points(points, out)
    settings = {"neighbours": chosen.config.model_dump(), "temperature": chosen.temperature}
    folder.add_to_router(out, settings)
    return chosen


def _outputs(network: NetworkRouter, prompts: Sequence[Prompt], step: Callable[[int], None]) -> Outputs:
    """Run a network over prompts as they stand."""
    parts = []
    for start in range(0, len(prompts), _CHUNK):
        chunk = prompts[start : start + _CHUNK]
        parts.append(network.outputs([prompt.routed() for prompt in chunk]))
        step(len(chunk))
    return Outputs(
        np.concatenate([part.logits for part in parts]), np.concatenate([part.embeddings for part in parts])
    )


def _columns(prompts: Sequence[Prompt], domains: Sequence[str]) -> NDArray[np.int64]:
    return np.array([domains.index(prompt.domain) for prompt in prompts], dtype=np.int64)


def _difference(recipe: Recipe, loaded: Loaded, prompts: Sequence[Prompt], out: Path) -> float:
    """Return how far a probability is from the trained network's in what was written, before any vote."""
    from modem.training.trainer import predict

    texts = [prompt.routed() for prompt in prompts[:NUM_COMPARED]]
    exact = softmax(predict(loaded.network, loaded.tokenizer, texts, recipe.max_tokens)["logits"])
    router = load_router(RouterConfig(kind=recipe.kind, model=str(out)))
    written = [[found.scores[domain] for domain in router.domains] for found in router.score(texts)]
    return float(np.abs(exact - np.array(written)).max())

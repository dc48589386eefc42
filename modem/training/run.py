"""One training of the router's head, from files to figures."""

import datetime
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modem.routing.encoder import SentenceEncoder
from modem.routing.linear import LinearHead
from modem.training import data
from modem.training.data import Prompt
from modem.training.fit import Fit, Labelled, fit
from modem.training.metrics import Evaluation, evaluate
from modem.training.sources import Sources, read_sources

Progress = Callable[[int, int], None]
"""Called with the number of prompts embedded so far and the number of all."""

VALIDATION = "validation"
"""Folder inside the data folder with sets that choose settings and are never trained on."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What to train on, and how the result is to be called.

    Attributes:
        data: Folder with the prompts, and perhaps a ``validation`` folder.
        sources: The declaration of the sources.
        encoder: As in `modem.config.RouterConfig`.
        per_domain: Most prompts of a domain.
        per_source: Most prompts of a source within a domain; sources with a path are taken whole.
        seed: Draws the sample.
        name: Name of the head.
        today: Written into the head.
    """

    data: Path
    sources: Path
    encoder: str
    per_domain: int
    per_source: int
    seed: int
    name: str
    today: datetime.date


@dataclass(frozen=True, slots=True)
class Corpus:
    """The prompts of one training.

    Attributes:
        sources: The declaration they satisfy.
        training: To fit on.
        held_out: Of the same mix, never fitted on.
        validation: Sets from elsewhere, by file name; empty if there are none.
    """

    sources: Sources
    training: Sequence[Prompt]
    held_out: Sequence[Prompt]
    validation: Mapping[str, Sequence[Prompt]]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The outcome of a training.

    Attributes:
        head: Ready to be saved.
        corpus: What it was fitted and measured on.
        c: The inverse penalty that was chosen.
        held_out: Figures on the held-out prompts.
        validation: Figures on each validation set.
    """

    head: LinearHead
    corpus: Corpus
    c: float
    held_out: Evaluation
    validation: Mapping[str, Evaluation]


def gather(plan: TrainingPlan) -> Corpus:
    """Read, filter, sample and split the prompts.

    Raises:
        ConfigError: A file is missing or wrong; names file and line.
    """
    sources = read_sources(plan.sources)
    folder = plan.data / VALIDATION
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    validation = {file.stem: data.read_prompts(file) for file in files}
    own = {source.name: plan.sources.parent / source.path for source in sources.sources if source.path}
    folders = [plan.data, *sorted(set(own.values()))]
    prompts = data.declared((prompt for folder in folders for prompt in data.read_prompts(folder)), sources)
    prompts = data.without(prompts, (prompt for found in validation.values() for prompt in found))
    drawn = data.sample(prompts, plan.per_domain, plan.per_source, plan.seed, whole=own)
    training, held_out = data.split(drawn)
    return Corpus(sources, training, held_out, validation)


def train(plan: TrainingPlan, corpus: Corpus, progress: Progress) -> TrainingRun:
    """Embed the corpus, fit the head and measure it. Takes minutes.

    Raises:
        ConfigError: The encoder cannot be loaded, or the corpus is too small to fit and measure.
    """
    encoder = SentenceEncoder(plan.encoder)
    sets = [corpus.training, corpus.held_out, *corpus.validation.values()]
    training, held_out, *validation = _embed(encoder, sets, progress)
    domains = sorted({*training.labels, *held_out.labels})
    fitted = fit(training, [held_out, *validation], domains)
    head = _head(plan, encoder, fitted)
    return TrainingRun(
        head=head,
        corpus=corpus,
        c=fitted.c,
        held_out=_measure(head, held_out),
        validation={
            name: _measure(head, labelled)
            for name, labelled in zip(corpus.validation, validation, strict=True)
        },
    )


def _embed(encoder: SentenceEncoder, sets: Sequence[Sequence[Prompt]], progress: Progress) -> list[Labelled]:
    """Embed all sets, reporting progress over their sum."""
    total = sum(len(prompts) for prompts in sets)
    done = 0

    def count(num_prompts: int) -> None:
        nonlocal done
        done += num_prompts
        progress(done, total)

    return [
        Labelled(
            encoder.encode([prompt.routed() for prompt in prompts], count),
            tuple(prompt.domain for prompt in prompts),
        )
        for prompts in sets
    ]


def _head(plan: TrainingPlan, encoder: SentenceEncoder, fitted: Fit) -> LinearHead:
    """Name the fitted weights; the version changes whenever they do."""
    digest = hashlib.sha256(np.ascontiguousarray(fitted.weights).tobytes() + fitted.bias.tobytes())
    return LinearHead(
        name=plan.name,
        version=f"{plan.today:%Y.%m.%d}-{digest.hexdigest()[:8]}",
        domains=fitted.domains,
        weights=fitted.weights,
        bias=fitted.bias,
        encoder=encoder.name,
        encoder_sha256=encoder.weights_sha256(),
        trained_on=plan.today.isoformat(),
    )


def _measure(head: LinearHead, labelled: Labelled) -> Evaluation:
    return evaluate(head.probabilities(labelled.embeddings), labelled.labels, head.domains)

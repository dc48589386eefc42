"""A training's figures as ``metrics.json``."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from modem.training.corpus import Corpus
from modem.training.data import counts
from modem.training.metrics import Evaluation
from modem.training.neighbours import Chosen
from modem.training.run import NUM_COMPARED, Trained
from modem.training.select import Candidate


def metrics(trained: Trained, corpus: Corpus, command: str) -> dict[str, Any]:
    """Return all there is to know about a training: figures, settings, data.

    Args:
        trained: The outcome.
        corpus: What it learnt and was measured on.
        command: What repeats it.
    """
    return {
        "router": {"name": trained.recipe.name, "version": trained.version, "base": trained.base},
        "command": command,
        "seconds": round(trained.seconds, 1),
        "sets": {name: dataclasses.asdict(found.figures) for name, found in trained.measured.items()},
        "wise_ft": [_candidate(candidate) for candidate in trained.candidates],
        "neighbours": _neighbours(trained.neighbours),
        "linear_probe": None
        if trained.probe is None
        else {"c": trained.probe.c, "log_loss": trained.probe.log_loss},
        "export": {
            "weights_bytes": trained.weights_bytes,
            "max_abs_probability_difference": trained.max_difference,
            "num_prompts": min(NUM_COMPARED, len(corpus.held_out)),
        },
        "data": _data(corpus),
        "recipe": trained.recipe.model_dump(mode="json"),
    }


def _neighbours(chosen: Chosen | None) -> dict[str, Any] | None:
    if chosen is None:
        return None
    return {
        **chosen.config.model_dump(),
        "final_temperature": chosen.temperature,
        "log_loss": chosen.log_loss,
        "log_loss_of_the_head": chosen.without,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    """Return a mixture's figures, without those per domain."""
    return {
        "alpha": candidate.alpha,
        "log_loss": candidate.log_loss,
        "sets": {name: _overall(found) for name, found in candidate.figures.items()},
    }


def _overall(found: Evaluation) -> Mapping[str, Any]:
    keys = ("num_prompts", "accuracy", "macro", "log_loss", "ece")
    return {key: getattr(found, key) for key in keys}


def _data(corpus: Corpus) -> dict[str, Any]:
    """Return what was learnt, by source, with its terms."""
    known = corpus.sources.by_name()
    learnt = corpus.learnt()
    training, held_out = counts(learnt), counts(corpus.held_out)
    return {
        "num_training": len(learnt),
        "num_held_out": len(corpus.held_out),
        "sources": [
            {
                "source": source,
                "domain": domain,
                "home": known[source].home,
                "licence": known[source].licence,
                "training": training.get((domain, source), 0),
                "held_out": held_out.get((domain, source), 0),
            }
            for domain, source in sorted(training.keys() | held_out.keys())
        ],
        "missing": list(corpus.missing),
        "not_used": [source.name for source in corpus.sources.sources if not source.use],
    }

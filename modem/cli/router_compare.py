"""``modem router compare``: all strategies on the same prompts."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modem.cli.progress import progress_bar
from modem.cli.router import fail
from modem.cli.router_eval import command, gather, show, write
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.evaluation.compare import Outcome, Strategy
    from modem.routing.base import Router


def compare_command(
    data: Annotated[
        list[Path],
        typer.Option(help="Folder with JSONL files of prompt, domain and source to fit to; repeatable."),
    ],
    own: Annotated[bool, typer.Option(help="Measure on the project's own sets too.")] = True,
    per_domain: Annotated[int, typer.Option(min=10, help="Most prompts of a domain to fit to.")] = 600,
    per_source: Annotated[int, typer.Option(min=1, help="Most prompts of a source within a domain.")] = 200,
    limit: Annotated[int, typer.Option(min=1, help="Most prompts of a set to measure on.")] = 300,
    seed: Annotated[int, typer.Option(help="Draws the prompts.")] = 0,
    router: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER of a further trained router; repeatable.", metavar="NAME=FOLDER"),
    ] = None,
    llm: Annotated[str | None, typer.Option(help="URL up to /v1 of a language model that routes.")] = None,
    llm_model: Annotated[str, typer.Option(help="Its name there.")] = "other",
    config: Annotated[
        Path | None, typer.Option(help="A Serve config file, for the descriptions of the domains.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for comparison.md, comparison.json and what was fitted.")
    ] = None,
) -> None:
    """Fit each routing strategy to a sample and measure all on held-out prompts, validation and own sets.

    Exit status: 0 done, 2 the data or an option is wrong.
    """
    from modem.config import RouterConfig
    from modem.evaluation import compare as comparison

    try:
        sets = gather(data, True, own, limit)
        prompts = comparison.prompts_from(data, sets, per_domain, per_source, seed)
        encoder, embeddings = comparison.remembered(comparison.default_encoder())
        shared = comparison.SharedRouter(_load(None))
        strategies = comparison.standard_strategies(encoder, shared, RouterConfig().kind)
        strategies += [_trained(given) for given in router or []]
        strategies += [_described(llm, llm_model, config)] if llm else []
        with progress_bar("strategies") as progress:
            done = _Done(out, progress, len(strategies))
            outcomes = comparison.compare(strategies, prompts, sets, [embeddings, shared.memory], done)
        if out is not None:
            _write(out, outcomes)
    except ConfigError as error:
        fail(error)
    show(comparison.tables(outcomes))


class _Done:
    """Called after each strategy: saves what was fitted, and moves the progress bar on."""

    def __init__(self, out: Path | None, progress: Callable[[int, int], None], total: int) -> None:
        self._out, self._progress, self._total, self._count = out, progress, total, 0

    def __call__(self, outcome: "Outcome", router: "Router") -> None:
        save = getattr(router, "save", None)
        if self._out is not None and save is not None:
            save(self._out / outcome.name)
        self._count += 1
        self._progress(self._count, self._total)


def _load(model: str | None) -> "Router":
    from modem.evaluation.target import router_config
    from modem.routing.load import load_router

    return load_router(router_config(model))


def _trained(given: str) -> "Strategy":
    """Return the strategy of a trained router, given as NAME=FOLDER."""
    from modem.evaluation.compare import Strategy

    name, _, folder = given.partition("=")
    if not name or not folder:
        raise ConfigError(f"--router {given!r}: write NAME=FOLDER")
    router = _load(folder)
    return Strategy(name, lambda prompts: router, fitted=False)


def _described(url: str, model: str, config: Path | None) -> "Strategy":
    """Return the strategy that asks a language model, with the descriptions of a Serve config file."""
    from modem.evaluation.compare import Strategy
    from modem.routing.strategies.described import DescribedRouter
    from modem.serve_config.load import load

    if config is None:
        raise ConfigError("--llm needs --config: the file whose domains are described to the model")
    domains = {name: domain.description for name, domain in load(config).front.gateway.domains.items()}
    # Nobody waits for the answers, and on a laptop a set of them takes minutes.
    router = DescribedRouter(url, model, domains, deadline_s=3600)
    return Strategy("described", lambda prompts: router, fitted=False)


def _write(out: Path, outcomes: "list[Outcome]") -> None:
    from modem.evaluation.compare import tables
    from modem.evaluation.report import public
    from modem.evaluation.tables import to_markdown

    parts = ["# Comparison of routing strategies", f"```sh\n{public(command())}\n```"]
    parts += [to_markdown(table) for table in tables(outcomes)]
    write(out / "comparison.md", "\n\n".join(parts) + "\n")
    content = {
        "command": public(command()),
        "strategies": [dataclasses.asdict(outcome) for outcome in outcomes],
    }
    write(out / "comparison.json", json.dumps(content, indent=2) + "\n")

"""``modem router add-domain``: tries a domain that the router was not trained on, before it is served."""

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modem.cli.labelled import accepted_domains, hear_cases, read_cases
from modem.cli.progress import progress_bar
from modem.errors import ConfigError

if TYPE_CHECKING:
    from modem.config import DomainConfig, GatewayConfig
    from modem.evaluation.sets import Case
    from modem.evaluation.tables import Table
    from modem.routing.added import WithAdded
    from modem.routing.base import Router

EXIT_CONFIG = 2
_OWN_SET = "gate"
"""The project's own set of prompts that all domains share evenly."""

_SHOWN = 8
"""Prompts whose decisions change that are shown."""

_WIDTH = 90


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration before and after a domain was added to it.

    Attributes:
        name: Of the new domain.
        before: The settings without it.
        after: The settings with it.
        router: The router as it is.
        extended: The router with the domain.
    """

    name: str
    before: "GatewayConfig"
    after: "GatewayConfig"
    router: "Router"
    extended: "WithAdded"


def add_domain(
    config: Annotated[Path, typer.Option(help="The Serve config file to which the domain would be added.")],
    name: Annotated[str, typer.Option(help="The domain's id, such as law.")],
    description: Annotated[str, typer.Option(help="One sentence on what belongs to it.")],
    examples: Annotated[
        Path,
        typer.Option(
            help="A dozen or more varied prompts: a text file with one a line, JSONL of prompt, or JSON."
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="JSONL of prompt (or messages) and domain, or a folder of them; may be repeated. "
            "The project's own prompts by default."
        ),
    ] = None,
) -> None:
    """Try a domain that the router was not trained on: what it catches, and what it moves. Writes nothing.

    Exit status: 0 done, 2 a file or a setting is wrong.
    """
    from modem.evaluation.sets import committed

    try:
        trial = _trial(config, name, description, _read_examples(examples))
        cases = read_cases(data) if data else list(committed(_OWN_SET).cases)
        _print_examples(trial)
        _print_effect(trial, cases)
        _print_block(trial, config)
    except ConfigError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_CONFIG) from None


def _trial(config: Path, name: str, description: str, examples: Sequence[str]) -> Trial:
    """Build the routers and the settings without and with the domain."""
    from modem.routing.added import WithAdded, with_added
    from modem.routing.load import load_router
    from modem.serve_config.load import load

    front = load(config).front
    before = _without_examples(front.gateway, name)
    after = _with_domain(front.gateway, name, description, examples)
    base = load_router(front.args.router)
    extended = with_added(base, after.added_domains())
    assert isinstance(extended, WithAdded)
    return Trial(name, before, after, with_added(base, before.added_domains()), extended)


def _without_examples(gateway: "GatewayConfig", name: str) -> "GatewayConfig":
    """Return the settings as if a domain of that name, if there is one, had no examples yet."""
    if name not in gateway.domains:
        return gateway
    bare = gateway.domains[name].model_copy(update={"examples": ()})
    return gateway.model_copy(update={"domains": {**gateway.domains, name: bare}})


def _with_domain(
    gateway: "GatewayConfig", name: str, description: str, examples: Sequence[str]
) -> "GatewayConfig":
    """Return the settings with the domain; what is not given is the fallback's, as a placeholder.

    Raises:
        ConfigError: The name or an example is not allowed.
    """
    from pydantic import ValidationError

    from modem.config import GatewayConfig

    content = gateway.model_dump()
    like = content["domains"][gateway.routing.fallback]
    new = content["domains"].get(name) or {
        "application": f"expert-{name}",
        "base_model": like["base_model"],
        "context_length_tokens": like["context_length_tokens"],
    }
    content["domains"][name] = {**new, "description": description, "examples": tuple(examples)}
    try:
        return GatewayConfig.model_validate(content)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"the domain {name!r} is not allowed: {found}") from error


def _read_examples(path: Path) -> list[str]:
    """Read examples.

    Raises:
        ConfigError: The file cannot be read, or holds none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _parse_examples(text, path.suffix)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"{path}: not as expected ({error}); {_FORMS}") from error
    examples = [example for example in found if isinstance(example, str) and example.strip()]
    if not examples or len(examples) != len(found):
        raise ConfigError(f"{path}: holds no examples, or something that is no text; {_FORMS}")
    return examples


_FORMS = (
    "expected one prompt a line, JSONL with prompt (.jsonl), or a JSON list or object with examples (.json)"
)


def _parse_examples(text: str, suffix: str) -> list[Any]:
    if suffix == ".json":
        content = json.loads(text)
        return list(content["examples"] if isinstance(content, dict) else content)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return [json.loads(line)["prompt"] for line in lines] if suffix == ".jsonl" else lines


def _print_examples(trial: Trial) -> None:
    """Say which examples the domain would get if it had not learnt them."""
    from modem.routing.added import routed_examples
    from modem.routing.policy import Heard, decide

    (domain,) = (one for one in trial.after.added_domains() if one.name == trial.name)
    scores = trial.extended.score_left_out(trial.name, routed_examples(domain))
    decided = [decide(Heard(one), trial.after).domain for one in scores]
    missed = [(text, to) for text, to in zip(domain.examples, decided, strict=True) if to != trial.name]
    typer.echo(f"examples: {len(decided) - len(missed)} of {len(decided)} are caught when they are left out")
    for text, to in missed:
        typer.echo(f"  {to}: {_short(text)}")
    if 2 * len(missed) > len(decided):
        typer.echo("  too few: give more examples that resemble each other, or a description nearer to them")


def _print_effect(trial: Trial, cases: "Sequence[Case]") -> None:
    """Compare the decisions on labelled prompts."""
    from rich.console import Console

    from modem.evaluation.tables import to_rich
    from modem.routing.policy import decide

    accepted = accepted_domains(cases, trial.after, trial.extended)
    with progress_bar("scoring") as progress:
        without, extended = hear_cases([trial.router, trial.extended], cases, progress)
    before = [decide(one, trial.before).domain for one in without]
    after = [decide(one, trial.after).domain for one in extended]
    Console(highlight=False).print(to_rich(_effect_table(trial.name, accepted, before, after)))
    moved = [
        (case, b, a)
        for case, right, b, a in zip(cases, accepted, before, after, strict=True)
        if a != b and trial.name not in right
    ]
    for case, was, becomes in moved[:_SHOWN]:
        typer.echo(f"  {case.domain}: {was} -> {becomes}: {_short(case.prompt)}")
    if len(moved) > _SHOWN:
        typer.echo(f"  and {len(moved) - _SHOWN} more")


def _effect_table(
    name: str, accepted: Sequence[tuple[str, ...]], before: Sequence[str], after: Sequence[str]
) -> "Table":
    """Return what changes, by the domain that prompts belong to."""
    from modem.evaluation.tables import make_table, percent

    counts: dict[str, Counter[str]] = {}
    for right, was, becomes in zip(accepted, before, after, strict=True):
        found = counts.setdefault(right[0], Counter())
        found.update(
            prompts=1,
            changed=int(was != becomes),
            taken=int(was != becomes == name),
            right_before=int(was in right),
            right_after=int(becomes in right),
        )
    rows = [
        (domain, str(found["prompts"]), *(percent(found[key] / found["prompts"]) for key in _COLUMNS))
        for domain, found in sorted(counts.items())
    ]
    header = ("belongs to", "prompts", "changed", f"to {name}", "right before", "right after")
    return make_table("decisions on labelled prompts", header, rows)


_COLUMNS = ("changed", "taken", "right_before", "right_after")


def _print_block(trial: Trial, config: Path) -> None:
    """Write what to paste into the config file."""
    import yaml

    domain = trial.after.domains[trial.name]
    block = yaml.dump({trial.name: _as_written(domain)}, Dumper=_dumper(), **_STYLE)
    typer.echo(f"\nunder domains: of the Gateway's user_config in {config}, live:\n")
    typer.echo(textwrap.indent(block, " " * _column_of_domains(config)))
    if trial.name not in trial.before.domains:
        typer.echo(
            f"base_model and context_length_tokens are those of {trial.after.routing.fallback}; an "
            f"application {domain.application} has to answer: copy an expert, with model_id {trial.name}"
        )


_STYLE: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 90}


def _dumper() -> Any:
    """Return what writes lists deeper than their key, as our files do."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """YAML with indented lists."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            """Never leave the indent out."""
            super().increase_indent(flow, False)

    return Dumper


def _as_written(domain: "DomainConfig") -> dict[str, Any]:
    """Return a domain with the keys that its block needs."""
    written = domain.model_dump(mode="json", exclude_defaults=True, exclude={"examples"})
    return {**written, "examples": list(domain.examples)}


def _column_of_domains(config: Path) -> int:
    """Return the column at which the file's domains stand."""
    import yaml

    from modem.serve_config.check import check_text

    text = config.read_text(encoding="utf-8")
    doc, _ = check_text(text, str(config))
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in (*doc.gateway_path, "domains") if doc is not None else ():
        pairs = node.value
        node = pairs[part] if isinstance(part, int) else next(v for k, v in pairs if k.value == part)
    return 0 if node.flow_style else int(node.value[0][0].start_mark.column)


def _short(text: str) -> str:
    return textwrap.shorten(text, _WIDTH, placeholder=" ...")

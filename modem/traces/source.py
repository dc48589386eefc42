"""A trace from what a person writes: a file of any known format, or the name of a synthetic one.

``trace.jsonl``, ``azure.csv``, ``chunk-3-trace.csv`` of ServeGen, or ``poisson:rate_rps=2,duration_s=600``.
``=domain`` after a file gives all its requests to one domain.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from math import inf
from pathlib import Path

import numpy as np

from modem.errors import ConfigError
from modem.jsonl import read_objects
from modem.traces import azure, jsonl, mooncake, servegen, synthetic
from modem.traces.lengths import Lengths, LognormalLengths
from modem.traces.lines import read_lines
from modem.traces.mix import Mix, split
from modem.traces.servegen import Part
from modem.traces.trace import ANY_DOMAIN, Trace

SYNTHETIC: Mapping[str, Callable[..., Trace]] = {
    "poisson": synthetic.poisson,
    "gamma": synthetic.gamma_bursty,
    "diurnal": synthetic.diurnal,
    "step": synthetic.step,
    "spike": synthetic.spike,
}
"""Names of synthetic traces, and what makes them."""
_LENGTHS = ("prompt_median_tokens", "output_median_tokens", "sigma", "max_tokens")


def load(
    source: str,
    rng: np.random.Generator,
    known: Collection[str] | None = None,
    mix: Mix | None = None,
    part: Part | None = None,
) -> Trace:
    """Return the trace that a text names.

    Args:
        source: As described above.
        rng: For all that is drawn.
        known: The domains that may occur; None for any.
        mix: Who gets the requests of a trace without domains; the same share for each of ``known`` by
            default.
        part: Of ServeGen's clients: when, how long, how much of the rate. Other files are cut to it, if
            it is given, and their requests left out or copied.

    Raises:
        ConfigError: There is no such file or name, or the file is wrong; with file and line.
    """
    name, only = _source(source)
    if only is not None and known is not None and only not in known:
        raise ConfigError(f"--trace {source}: domain {only!r} is none of {', '.join(known)}")
    trace = _read(name, rng, known, part)
    if ANY_DOMAIN not in trace.domains:
        if only is not None:
            raise ConfigError(f"--trace {source}: the requests of this file have domains: leave ={only} out")
        return trace
    if len(trace.domains) > 1:
        raise ConfigError(f"{name}: some lines have a domain and some have none; give all of them one")
    chosen = Mix.steady({only: 1.0}) if only is not None else mix or (Mix.even(known) if known else None)
    return trace if chosen is None else split(trace, chosen, rng)


def _source(source: str) -> tuple[str, str | None]:
    """Split ``file=domain``; a file whose name has a = in it stays whole."""
    head, equals, tail = source.rpartition("=")
    if not equals or Path(source).exists() or "," in tail or _is_synthetic(source):
        return source, None
    return head, tail


def _is_synthetic(source: str) -> bool:
    return source.partition(":")[0] in SYNTHETIC


def _read(name: str, rng: np.random.Generator, known: Collection[str] | None, part: Part | None) -> Trace:
    path = Path(name)
    if not _is_synthetic(name) and path.suffix == ".csv" and not _is_azure(path):
        return servegen.read(path, rng, part or Part(), _lengths_beside(path))
    if _is_synthetic(name):
        trace = parse_synthetic(name, rng)
    else:
        trace = azure.read(path) if path.suffix == ".csv" else _read_jsonl(path, rng, known)
    if part is None:
        return trace
    end_s = part.start_s + part.duration_s if part.duration_s is not None else inf
    cut = trace.between(part.start_s, end_s)
    return cut if part.rate_scale == 1 else cut.scaled(part.rate_scale, rng)


def _read_jsonl(path: Path, rng: np.random.Generator, known: Collection[str] | None) -> Trace:
    first = next(read_objects(path, jsonl.FIELDS), ({}, ""))[0]
    if "timestamp" in first and "t_s" not in first:
        return mooncake.read(path, rng)
    return jsonl.read(path, known)


def _is_azure(path: Path) -> bool:
    first = next(read_lines(path), ("", ""))[0]
    return any(character.isalpha() for character in first.split(",")[0])


def _lengths_beside(path: Path) -> Lengths:
    """Return the lengths of this client, else of another one in its folder, else made-up ones."""
    own = path.with_name(path.name.replace("-trace.csv", "-dataset.json"))
    for candidate in (own, *sorted(path.parent.glob("chunk-*-dataset.json"))):
        if candidate.exists() and candidate != path:
            return servegen.read_lengths(candidate)
    return LognormalLengths()


def parse_synthetic(text: str, rng: np.random.Generator) -> Trace:
    """Make the trace that ``name:key=value,...`` describes.

    Keys are the arguments of the function in `SYNTHETIC`, and the fields of `LognormalLengths`.

    Raises:
        ConfigError: The name, a key or a value is wrong.
    """
    kind, _, rest = text.partition(":")
    make = SYNTHETIC[kind]
    values = _values(text, rest)
    allowed = [key for key in inspect.signature(make).parameters if key not in ("rng", "lengths")]
    wrong = [key for key in values if key not in (*allowed, *_LENGTHS)]
    if wrong:
        raise ConfigError(
            f"--trace {text}: no {wrong[0]!r} here; there are {', '.join((*allowed, *_LENGTHS))}"
        )
    lengths = {key: values.pop(key) for key in _LENGTHS if key in values}
    if "max_tokens" in lengths:
        lengths["max_tokens"] = int(lengths["max_tokens"])
    try:
        return make(rng, **values, lengths=LognormalLengths(**lengths))  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigError(f"--trace {text}: {str(error).partition('()')[2].strip()}") from error


def _values(text: str, rest: str) -> dict[str, float]:
    values = {}
    for item in rest.split(",") if rest else ():
        key, _, number = item.partition("=")
        try:
            values[key.strip()] = float(number)
        except ValueError as error:
            raise ConfigError(f"--trace {text}: {item!r} is no KEY=NUMBER") from error
    return values

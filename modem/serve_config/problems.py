"""What is wrong in a config file, said so that it can be mended: where, what, how.

Pydantic's errors become `Problem` values here. Nothing here knows what the keys mean.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend.

    Attributes:
        file: The file, as the caller named it.
        path: Where, as in ``applications[3].deployments[0].name``.
        value: What stands there; None where something is missing.
        message: What is wrong with it.
        remedy: What to write instead.
    """

    file: str
    path: str
    value: object
    message: str
    remedy: str

    def __str__(self) -> str:
        what = f"  value:  {self.shown}\n  wrong:  {self.message}\n  remedy: {self.remedy}"
        return f"{self.file}: {self.path}\n{what}"

    @property
    def shown(self) -> str:
        """The value on one short line."""
        text = "(not set)" if self.value is None else json.dumps(self.value, default=str, ensure_ascii=False)
        return text if len(text) <= 80 else f"{text[:77]}..."


def render(path: Path) -> str:
    """Return a path as people write it: ``applications[3].name``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "(the whole file)"


def suggest(name: str, known: Sequence[str]) -> str:
    """Say how to mend a name that is not among ``known``: the nearest one, or the whole choice."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    if not known:
        return "Remove it."
    if len(known) > 40:
        return "Remove it, or look up its name in the documentation of the installed version."
    return f"Use one of: {', '.join(known)}."


def validate(model: type[M], raw: object, file: str, base: Path) -> tuple[M | None, list[Problem]]:
    """Validate what a YAML file holds, types included: ``"4"`` is no number, 1 no truth value.

    Args:
        model: What it should be.
        raw: Mappings, lists and scalars as YAML gives them.
        file: For the problems.
        base: Where in the file ``raw`` stands.
    """
    try:
        # Through JSON, because only there strict mode takes a list for a tuple. What JSON lacks
        # (YAML has dates) becomes a mapping, which no field takes for a text or a number.
        return model.model_validate_json(json.dumps(raw, default=lambda odd: {"": str(odd)}), strict=True), []
    except ValidationError as error:
        found = [_problem(model, raw, file, base, detail) for detail in error.errors(include_url=False)]
    # One wrong value under a union is one error for each of its types.
    return None, [_merged(list(same)) for _, same in groupby(found, key=lambda problem: problem.path)]


def _merged(same: list[Problem]) -> Problem:
    first = same[0]
    return Problem(
        first.file,
        first.path,
        first.value,
        " / ".join(dict.fromkeys(problem.message for problem in same)),
        " Or: ".join(dict.fromkeys(problem.remedy for problem in same)),
    )


def _problem(model: type[BaseModel], raw: object, file: str, base: Path, detail: ErrorDetails) -> Problem:
    where = _locate(raw, detail)
    value = _at(raw, where)
    if detail["type"] == "extra_forbidden":
        known = _keys_at(model, where[:-1])
        message, remedy = "There is no such key here.", suggest(str(where[-1]), known)
    else:
        message, remedy = detail["msg"].removeprefix("Value error, "), _remedy(detail, where)
    return Problem(file, render((*base, *where)), value, message, remedy)


def _locate(raw: object, detail: ErrorDetails) -> Path:
    """Reduce pydantic's location to keys and positions that stand in the file.

    It also holds the names of a union's branches, and marks wrong keys by ``[key]``.
    """
    where: list[str | int] = []
    node: Any = raw
    for part in detail["loc"]:
        if _stands(part, node):
            where.append(part)
            node = node[part]
    last = detail["loc"][-1:]
    # A key of two escaped surrogates in the file is one character to pydantic, and so not found above.
    if detail["type"] == "missing" or (detail["type"] == "extra_forbidden" and tuple(where[-1:]) != last):
        where.extend(last)
    elif detail["type"] == "value_error":
        where.extend(_named_key(node, detail["msg"]))
    return tuple(where)


def _stands(part: str | int, node: object) -> bool:
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int)


def _named_key(node: object, message: str) -> Path:
    """Return the key that a validator of a whole mapping names first in its message, if any."""
    named = re.match(r"Value error, ([\w.]+)", message)
    path: Path = tuple(named[1].split(".")) if named else ()
    return path if _at(node, path) is not None else ()


def _at(node: Any, path: Path) -> object:
    """Return what stands at a path; None if nothing does."""
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _keys_at(model: Any, path: Path) -> list[str]:
    """Return the keys that are known at a path, following the model's annotations."""
    models = [model]
    for part in path:
        models = [inner for outer in models for inner in _inside(outer, part)]
    return sorted({key for model in models for key in getattr(model, "model_fields", ())})


def _inside(model: Any, part: str | int) -> list[Any]:
    """Return the types that may stand under ``part``, unions and annotations taken apart."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        field = model.model_fields.get(str(part))
        return _alternatives(field.annotation) if field else []
    arguments = get_args(model)
    return _alternatives(arguments[-1]) if arguments else []


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if isinstance(annotation, type) or get_origin(annotation) in (Mapping, Sequence):
        return [annotation]
    inner = [alternative for argument in get_args(annotation) for alternative in _alternatives(argument)]
    return [alternative for alternative in inner if alternative is not NoneType] or [annotation]


_REMEDIES = {
    "int": "Write a whole number, without quotes.",
    "float": "Write a number, without quotes.",
    "finite": "Write a finite number.",
    "bool": "Write true or false.",
    "string": "Write a text; put it in quotes if it looks like a number.",
    "dict": "Write a mapping: lines of 'key: value'.",
    "mapping": "Write a mapping: lines of 'key: value'.",
    "model": "Write a mapping: lines of 'key: value'.",
    "list": "Write a list: lines that begin with '- '.",
    "tuple": "Write a list: lines that begin with '- '.",
    "sequence": "Write a list: lines that begin with '- '.",
    "none": "Write null.",
}


def _remedy(detail: ErrorDetails, where: Path) -> str:
    """Say how to mend an error of pydantic's, by its type."""
    context: Mapping[str, Any] = detail.get("ctx", {})
    kind = detail["type"]
    if "remedy" in context:
        return str(context["remedy"])
    if kind == "missing":
        return f"Add '{where[-1]}: ...'."
    if kind == "literal_error":
        choice = re.findall(r"'([^']*)'|(\d+)", str(context["expected"]))
        return suggest(str(detail["input"]), [text or number for text, number in choice])
    if kind == "string_pattern_mismatch":
        return f"Write a text that matches {context['pattern']}."
    if kind == "union_tag_not_found":
        return f"Add '{str(context['discriminator']).strip(chr(39))}: ...', which says what this is."
    if kind == "union_tag_invalid":
        return suggest(str(context["tag"]), re.findall(r"'([^']*)'", str(context["expected_tags"])))
    for bound, word in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if bound in context:
            return f"Write a value of {word} {context[bound]}."
    if kind == "value_error":
        return "Change it so that this holds."
    return _REMEDIES.get(kind.split("_")[0], "Write a value of the type that the message names.")

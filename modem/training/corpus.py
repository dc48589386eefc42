"""The prompts of one training: gathered, deduplicated, drawn, split."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modem.errors import ConfigError
from modem.evaluation.sets import COMMITTED, VALIDATION
from modem.routing.unfamiliar import unfamiliar
from modem.training import data, hub
from modem.training.boilerplate import Template, read_templates
from modem.training.data import Prompt
from modem.training.dedup import Deduplicated, deduplicate
from modem.training.recipe import PointsConfig, Recipe, SampleConfig
from modem.training.sources import Sources, read_sources

OTHER = "other"
"""The domain of what is not in English, and of characters at random."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The prompts of one training.

    Attributes:
        sources: The declaration they satisfy.
        training: To learn.
        held_out: Of the same mix, never learnt.
        validation: Sets from elsewhere, by file name; empty if there are none.
        deduplicated: What was dropped before the sample was drawn.
        missing: Sources that should be learnt but had no prompts.
        templates: What applications put around a prompt.
        voting: The prompts that vote beside a compact router's head; empty if none do.
        further: What each further network of a soup learns in place of ``training``.
    """

    sources: Sources
    training: Sequence[Prompt]
    held_out: Sequence[Prompt]
    validation: Mapping[str, Sequence[Prompt]]
    deduplicated: Deduplicated
    missing: Sequence[str] = ()
    templates: Sequence[Template] = ()
    voting: Sequence[Prompt] = ()
    further: Sequence[Sequence[Prompt]] = ()

    def domains(self) -> tuple[str, ...]:
        """Return the domains that are learnt, sorted."""
        return tuple(sorted({prompt.domain for prompt in self.training}))

    def learnt(self) -> list[Prompt]:
        """Return every prompt that some network learns, once."""
        draws = (self.training, *self.further)
        return list({prompt.text: prompt for draw in draws for prompt in draw}.values())

    def measured_on(self) -> dict[str, Sequence[Prompt]]:
        """Return the sets that choose settings, by name: the held-out prompts first."""
        return {"held_out": self.held_out, **self.validation}


def gather(recipe: Recipe, home: Path, folder: Path | None) -> Corpus:
    """Read, filter, deduplicate, sample and split the prompts.

    Args:
        recipe: What to draw.
        home: Folder of the recipe's file.
        folder: JSONL files with prompts, and perhaps a ``validation`` folder; None: from the hub.

    Raises:
        ConfigError: A file is missing or wrong, with file and line, or too little is left to train on.
    """
    declaration = home / recipe.sources
    templates = read_templates(home / recipe.templates) if recipe.templates else []
    sources = read_sources(declaration)
    own = {source.name: declaration.parent / source.path for source in sources.sources if source.path}
    validation = _validation(sources, folder)
    apart = {**validation, **_evaluation(recipe, home, sources, folder)}
    prompts = [p for place in sorted(set(own.values())) for p in data.read_prompts(place)]
    prompts += _others(sources, folder)
    found = deduplicate(_ordered(data.declared(prompts, sources), own), apart)
    training, held_out = _draw(found.prompts, recipe.sample, recipe.seed, own)
    seeds = range(recipe.seed + 1, recipe.seed + recipe.soup)
    further = [_draw(found.prompts, recipe.sample, seed, own)[0] for seed in seeds]
    voting, _ = _draw(found.prompts, recipe.neighbours, recipe.seed, own) if recipe.neighbours else ([], [])
    missing = {s.name for s in sources.sources if s.use} - {prompt.source for prompt in prompts}
    corpus = Corpus(
        sources, training, held_out, validation, found, sorted(missing), templates, voting, further
    )
    _check(corpus)
    return corpus


def _draw(
    prompts: Sequence[Prompt], size: SampleConfig | PointsConfig, seed: int, whole: Collection[str]
) -> tuple[list[Prompt], list[Prompt]]:
    """Return a balanced sample in two parts, the second of which nothing may be learnt from."""
    return data.split(map(_to_other, data.sample(prompts, size.per_domain, size.per_source, seed, whole)))


def _to_other(prompt: Prompt) -> Prompt:
    """Label what no expert is asked as other, whatever its topic: service never sends it to one."""
    return replace(prompt, domain=OTHER) if unfamiliar(prompt.text) else prompt


def _others(sources: Sources, folder: Path | None) -> list[Prompt]:
    """Return the prompts that are not committed beside the declaration."""
    if folder is not None:
        return data.read_prompts(folder)
    return [p for source in sources.sources if source.use and source.hub for p in hub.load(source)]


def _validation(sources: Sources, folder: Path | None) -> dict[str, list[Prompt]]:
    """Return the sets that choose settings."""
    if folder is None:
        return {source.name: hub.load(source) for source in sources.validation if source.hub}
    files = sorted((folder / VALIDATION).glob("*.jsonl"))
    return {file.stem: data.read_prompts(file) for file in files}


def _evaluation(recipe: Recipe, home: Path, sources: Sources, folder: Path | None) -> dict[str, list[Prompt]]:
    """Return the sets that are only measured on: ours, those declared, and those the recipe names."""
    found = _sets(COMMITTED)
    if folder is None:
        found |= {source.name: hub.load(source) for source in sources.evaluation if source.hub}
    for given in recipe.evaluation:
        path = home / given
        if not path.exists():
            raise ConfigError(f"evaluation: {path}: there is no such file or folder")
        found |= _sets(path)
    return found


def _sets(path: Path) -> dict[str, list[Prompt]]:
    """Read the sets at a path; a folder that is missing has none."""
    files = [path] if path.is_file() else sorted(path.glob("*.jsonl"))
    return {file.stem: data.read_apart(file) for file in files}


def _ordered(prompts: Iterable[Prompt], own: Mapping[str, Path]) -> list[Prompt]:
    """Put our own prompts first: of two alike the first is kept."""
    return sorted(prompts, key=lambda p: (p.source not in own, p.source, data.normal(p.text), p.domain))


def _check(corpus: Corpus) -> None:
    """Refuse a corpus that nothing can be learnt from or measured on."""
    domains = corpus.domains()
    if len(domains) < 2:
        raise ConfigError(f"training needs prompts of two domains or more; there are {list(domains)}")
    if not corpus.held_out:
        raise ConfigError("training needs held-out prompts to measure on; give it more data")

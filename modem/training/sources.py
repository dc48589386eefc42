"""The declaration of training data: where each source lives, under what licence, used or not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from modem.config import Config, DomainId
from modem.errors import ConfigError


class Hub(Config):
    """Where a source lies on the Hugging Face hub, and which of its fields are what.

    Attributes:
        id: ``owner/name``, or a folder that `datasets` can load.
        config: Its configuration, if it has several.
        split: The split to take.
        revision: The commit that is meant; None: what is there today, which may change.
        prompt_field: The field with the prompt; of several the texts are joined by a blank.
        prefix: Put before each prompt.
        choices_field: The field with the answers that a prompt offers, or the fields with one each.
        domain: The domain of rows that no other setting gives one.
        domain_field: A field that tells the domain, by ``domain_map``.
        domain_map: Domains by the field's values; rows with other values have ``domain``, and
            without that are left out.
        skip_field: A field by which rows are left out.
        skip_prefix: How its value begins in those rows.
    """

    id: str = Field(min_length=1)
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    prompt_field: str | tuple[str, ...]
    prefix: str = ""
    choices_field: str | tuple[str, ...] | None = None
    domain: DomainId | None = None
    domain_field: str | None = None
    domain_map: Mapping[str, DomainId] = Field(default_factory=dict)
    skip_field: str | None = None
    skip_prefix: str = ""

    @model_validator(mode="after")
    def _has_a_domain(self) -> Self:
        if self.domain is None and self.domain_field is None:
            raise ValueError("give a domain, or a domain_field with a domain_map")
        if (self.domain_field is None) != (not self.domain_map):
            raise ValueError("domain_field and domain_map go together")
        if (self.skip_field is None) != (not self.skip_prefix):
            raise ValueError("skip_field and skip_prefix go together")
        return self


class Source(Config):
    """One source of prompts.

    Attributes:
        name: As in the ``source`` field of its prompts.
        domains: The domains its prompts may carry.
        home: Where anyone can get it: a repository, a hub id, or its name where that is all we know.
        licence: SPDX-like name, or in words what is unclear.
        use: Whether the shipped head may be fitted on it.
        note: Why, where that is not obvious.
        path: Folder with its files, relative to the declaration; for prompts that are committed
            beside it. The others are in the data folder that the user gives, or on the hub.
        hub: Where to load it from without such a folder; None: it is not there in this shape.
    """

    name: str = Field(min_length=1)
    domains: tuple[DomainId, ...] = Field(min_length=1)
    home: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    use: bool
    note: str = ""
    path: str | None = None
    hub: Hub | None = None


class Sources(Config):
    """All declared sources.

    Attributes:
        sources: Of training prompts, in the order of the file.
        validation: Of prompts that choose settings and are never trained on; used where the
            data comes from the hub, as a data folder has its own.
        evaluation: Of prompts that are only measured on, elsewhere; likewise.
    """

    sources: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = ()
    evaluation: tuple[Source, ...] = ()

    def by_name(self) -> dict[str, Source]:
        """Return the sources under their names."""
        return {source.name: source for source in self.sources}


def read_sources(path: Path) -> Sources:
    """Read the declaration.

    Raises:
        ConfigError: The file is missing, not YAML, or declares something wrong or twice.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        sources = Sources.model_validate(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg']}") from error
    names = [source.name for source in (*sources.sources, *sources.validation, *sources.evaluation)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: declared more than once: {', '.join(twice)}")
    return sources

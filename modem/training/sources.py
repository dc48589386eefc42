"""The declaration of training data: where each source lives, under what licence, used or not."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from modem.config import Config, DomainId
from modem.errors import ConfigError


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
            beside it. The others are in the data folder that the user gives.
    """

    name: str = Field(min_length=1)
    domains: tuple[DomainId, ...] = Field(min_length=1)
    home: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    use: bool
    note: str = ""
    path: str | None = None


class Sources(Config):
    """All declared sources.

    Attributes:
        sources: In the order of the file.
    """

    sources: tuple[Source, ...] = Field(min_length=1)

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
    names = [source.name for source in sources.sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: declared more than once: {', '.join(twice)}")
    return sources

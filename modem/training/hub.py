"""Prompts from the Hugging Face hub, for those who have no folder of them."""

from collections.abc import Mapping
from typing import Any

from modem.errors import ConfigError
from modem.training.data import Prompt
from modem.training.sources import Hub, Source


def load(source: Source) -> list[Prompt]:
    """Load a source's prompts; rows without a text or a domain are left out.

    Args:
        source: One with a place on the hub.

    Raises:
        ConfigError: `datasets` is not installed or cannot load it, or a field is missing.
    """
    hub = source.hub
    if hub is None:
        raise ConfigError(f"{source.name}: is declared without a place on the hub")
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"data: {error}; run: pip install 'modem[train]', or give a folder with --data"
        ) from error
    try:
        rows = datasets.load_dataset(hub.id, hub.config, split=hub.split, revision=hub.revision)
        found = (_prompt(row, source.name, hub, number) for number, row in enumerate(rows))
        return [prompt for prompt in found if prompt is not None]
    except KeyError as error:
        raise ConfigError(f"{source.name}: {hub.id} has no field {error}") from error
    except Exception as error:
        raise ConfigError(f"{source.name}: cannot be loaded from {hub.id}: {error}") from error


def _prompt(row: Mapping[str, Any], source: str, hub: Hub, number: int) -> Prompt | None:
    fields = (hub.prompt_field,) if isinstance(hub.prompt_field, str) else hub.prompt_field
    text = " ".join(str(row[field]).strip() for field in fields if row[field] is not None)
    domain = _domain(row, hub)
    if not text.strip() or domain is None:
        return None
    where = f"{hub.id}:{hub.split}:{number}"
    return Prompt(hub.prefix + text, domain, source, where, _choices(row, hub))


def _domain(row: Mapping[str, Any], hub: Hub) -> str | None:
    """Return a row's domain; None if it is to be left out."""
    if hub.skip_field is not None and str(row[hub.skip_field]).startswith(hub.skip_prefix):
        return None
    if hub.domain_field is None:
        return hub.domain
    return hub.domain_map.get(str(row[hub.domain_field]), hub.domain)


def _choices(row: Mapping[str, Any], hub: Hub) -> tuple[str, ...]:
    """Return the answers a row offers: from several fields, a list, or a list beside its labels."""
    if hub.choices_field is None:
        return ()
    if not isinstance(hub.choices_field, str):
        return tuple(str(row[field]) for field in hub.choices_field)
    found = row[hub.choices_field]
    return tuple(map(str, found["text"] if isinstance(found, Mapping) else found))

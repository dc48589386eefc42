"""The folder that an interrupted training is resumed from; in it there is one for each network of a soup."""

import shutil
from pathlib import Path

from modem.errors import ConfigError
from modem.training.folder import write_json
from modem.training.recipe import Recipe

FOLDER = "checkpoints"
_RECIPE = "recipe.json"


def begin(recipe: Recipe, out: Path, resume: bool) -> Path:
    """Make the folder for checkpoints, or take the one that has some.

    Raises:
        ConfigError: Checkpoints are there and are not to be resumed, or come of another recipe.
    """
    folder = out / FOLDER
    if not any(folder.rglob("checkpoint-*")):
        write_json(folder / _RECIPE, recipe.model_dump(mode="json"))
    elif not resume:
        raise ConfigError(f"{folder}: is an unfinished training; go on with --resume, or delete the folder")
    elif changed := _changed(folder / _RECIPE, recipe):
        raise ConfigError(
            f"{folder}: was begun with other settings ({', '.join(changed)}); "
            "put them back to resume, or delete the folder"
        )
    return folder


def _changed(file: Path, recipe: Recipe) -> list[str]:
    """Return the settings in which a written recipe differs."""
    found = Recipe.model_validate_json(file.read_text(encoding="utf-8"))
    return [key for key in Recipe.model_fields if getattr(found, key) != getattr(recipe, key)]


def finish(out: Path) -> None:
    """Delete the checkpoints of a training that is done: several times the size of its result."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)

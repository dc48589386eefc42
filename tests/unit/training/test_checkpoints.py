from pathlib import Path

import pytest

from modem.errors import ConfigError
from modem.training.checkpoints import begin, finish
from modem.training.recipe import Recipe

RECIPE = Recipe(name="a")


def test_a_training_begins_and_ends_without_a_trace(tmp_path: Path) -> None:
    folder = begin(RECIPE, tmp_path / "out", resume=False)
    assert folder.is_dir()
    finish(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_unfinished_training_is_not_thrown_away(tmp_path: Path) -> None:
    (begin(RECIPE, tmp_path, resume=False) / "checkpoint-4").mkdir()
    with pytest.raises(ConfigError, match="unfinished training; go on with --resume, or delete"):
        begin(RECIPE, tmp_path, resume=False)


def test_it_is_resumed_with_the_same_recipe_only(tmp_path: Path) -> None:
    folder = begin(RECIPE, tmp_path, resume=False)
    (folder / "checkpoint-4").mkdir()
    assert begin(RECIPE, tmp_path, resume=True) == folder
    with pytest.raises(ConfigError, match=r"begun with other settings \(seed, epochs\)"):
        begin(Recipe(name="a", epochs=2, seed=1), tmp_path, resume=True)


def test_with_nothing_to_resume_it_begins(tmp_path: Path) -> None:
    assert begin(RECIPE, tmp_path, resume=True).is_dir()


def test_what_ended_before_its_first_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    begin(RECIPE, tmp_path, resume=False)
    other = Recipe(name="b")
    (begin(other, tmp_path, resume=False) / "checkpoint-4").mkdir()
    assert begin(other, tmp_path, resume=True).is_dir()

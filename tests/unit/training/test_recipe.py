from pathlib import Path

import pytest

import modem
from modem.errors import ConfigError
from modem.training.recipe import DEFAULT_WEIGHTS, Recipe, read_recipe

TRAINING = Path(modem.__path__[0]).parent / "training"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.yaml"


def read(file: Path, text: str) -> Recipe:
    file.write_text(text, encoding="utf-8")
    return read_recipe(file)


def test_a_name_is_all_that_is_needed(file: Path) -> None:
    found = read(file, "name: mine")
    assert (found.kind, found.base, found.alphas) == ("compact", "package", (1.0,))
    assert found.augmentation.weights == DEFAULT_WEIGHTS


def test_the_committed_recipes_are_valid() -> None:
    compact = read_recipe(TRAINING / "compact.yaml")
    assert compact.kind == "compact"
    assert compact.linear_probe
    assert (TRAINING / compact.sources).is_file()


def test_the_large_one_is_the_papers() -> None:
    large = read_recipe(TRAINING / "deberta-v3-large.yaml")
    assert (large.kind, large.base, large.epochs) == ("encoder", "microsoft/deberta-v3-large", 1)
    assert large.batch_size * large.gradient_accumulation == 32
    assert large.learning_rate == 1e-5


@pytest.mark.parametrize("text", ["1e-5", "1.0e-5", "0.00001"])
def test_a_rate_may_be_written_as_people_do(file: Path, text: str) -> None:
    assert read(file, f"name: a\nlearning_rate: {text}").learning_rate == 1e-5


@pytest.mark.parametrize(
    ("text", "alphas"), [("0.5", (0.5,)), ("1", (1.0,)), ("[0, 0.25, 1e0]", (0.0, 0.25, 1.0))]
)
def test_alpha_is_a_number_or_several(file: Path, text: str, alphas: tuple[float, ...]) -> None:
    assert read(file, f"name: a\nwise_ft_alpha: {text}").alphas == alphas


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recipe: Input should be an object"),
        ("name: [", "not YAML"),
        ("name: 2026-01-01", "not YAML of plain values"),
        ("epochs: 2", "name: Field required"),
        ("name: ../up", "name: String should match"),
        ("name: a\nepoch: 2", "epoch: Extra inputs are not permitted"),
        ("name: a\nepochs: two", "epochs: Input should be a valid integer"),
        ("name: a\nepochs: '2'", "epochs: Input should be a valid integer"),
        ("name: a\nfreeze_embeddings: 1", "freeze_embeddings: Input should be a valid boolean"),
        ("name: a\nlearning_rate: fast", "learning_rate: Input should be a valid number"),
        ("name: a\nlearning_rate: 0", "learning_rate: Input should be greater than 0"),
        ("name: a\nwise_ft_alpha: 1.5", "wise_ft_alpha.*less than or equal to 1"),
        ("name: a\nwise_ft_alpha: []", "wise_ft_alpha"),
        ("name: a\nkind: encoder\nlinear_probe: true", "are for kind 'compact'"),
        ("name: a\nkind: encoder\nsoup: 2", "are for kind 'compact'"),
        ("name: a\nsoup: 2", "soup needs linear_probe"),
        ("name: a\nkind: encoder\nwise_ft_alpha: 0.5", "are for kind 'compact'"),
        ("name: a\nkind: encoder\nprior: {other: 0.4}", "neighbours and prior are for kind 'compact'"),
        ("name: a\nkind: encoder\nneighbours: {dim: 64}", "neighbours and prior are for kind 'compact'"),
        ("name: a\nneighbours: {dim: 0}", r"neighbours\.dim: Input should be greater"),
        ("name: a\naugmentation: {weights: {shout: 1}}", r"augmentation\.weights\.shout"),
        ("name: a\naugmentation: {weights: {typos: 0}}", "to change nothing set share to 0"),
        ("name: a\nprior: {other: 1.0}", r"prior\.other: Input should be less than 1"),
        ("name: a\nprior: {other: 0.6, math: 0.5}", "leave nothing for the other domains"),
        ("name: a\nclass_weights: false\nprior: {other: 0.5}", "it needs class_weights"),
        ("name: a\nsample: {per_domain: 0}", r"sample\.per_domain: Input should be greater"),
    ],
)
def test_a_wrong_setting_is_named(file: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(file, text)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_missing_recipe_is_an_error(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_recipe(file)


def test_a_recipe_survives_json() -> None:
    found = read_recipe(TRAINING / "compact.yaml")
    assert Recipe.model_validate_json(found.model_dump_json()) == found

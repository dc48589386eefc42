"""The recipe of a training: what it starts from, learns from, and how. One YAML file, values only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from modem.config import Config, DomainId
from modem.errors import ConfigError
from modem.routing.encoder import PACKAGE

Change = Literal[
    "instruction",
    "reasoning",
    "options",
    "preamble",
    "fence",
    "typos",
    "plain",
    "passage",
    "examples",
    "template",
]
"""One way to say a training prompt otherwise; see `modem.training.augment`."""


DEFAULT_WEIGHTS: Mapping[Change, float] = {
    "instruction": 2.0,
    "reasoning": 1.5,
    "options": 2.0,
    "preamble": 1.5,
    "fence": 1.0,
    "typos": 1.0,
    "plain": 1.0,
    "passage": 1.5,
    "examples": 1.0,
    "template": 6.0,
}


def _number(value: Any) -> Any:
    """Read ``1e-5`` as a number: YAML 1.1 wants ``1.0e-5`` and gives the rest as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Number = Annotated[float, BeforeValidator(_number)]
Alpha = Annotated[Number, Field(ge=0, le=1)]


class Strict(Config):
    """As `Config`, and no value is taken for one of another type."""

    model_config = ConfigDict(strict=True)


class SampleConfig(Strict):
    """How many prompts are drawn.

    Attributes:
        per_domain: Most prompts of a domain; sources with a path are taken whole in any case.
        per_source: Most prompts of a source within a domain, for sources without a path.
    """

    per_domain: int = Field(default=4800, ge=1)
    per_source: int = Field(default=300, ge=1)


class AugmentationConfig(Strict):
    """How training prompts are said otherwise, anew in each epoch.

    Attributes:
        share: Of the prompts in an epoch, how many are changed, in [0, 1].
        second: Of the changed ones, how many are changed once more, in [0, 1].
        noise: Texts of random characters that are learnt as other, beside the prompts.
        weights: How often each kind of change is drawn, relative to the others; 0 or absent: never.
    """

    share: Number = Field(default=0.5, ge=0, le=1)
    second: Number = Field(default=0.25, ge=0, le=1)
    noise: int = Field(default=100, ge=0)
    weights: Mapping[Change, Annotated[Number, Field(ge=0)]] = DEFAULT_WEIGHTS

    @model_validator(mode="after")
    def _something_to_draw(self) -> Self:
        if self.share > 0 and not any(self.weights.values()):
            raise ValueError("weights are all 0; to change nothing set share to 0")
        return self


class PointsConfig(Strict):
    """The training prompts that vote beside the head of a compact router (`modem.routing.neighbours`).

    Attributes:
        dim: Principal components of the embeddings that are kept.
        per_domain: Most prompts of a domain, as in `SampleConfig`; those that are held out never vote.
        per_source: Most prompts of a source within a domain.
    """

    dim: int = Field(default=128, ge=1)
    per_domain: int = Field(default=4800, ge=1)
    per_source: int = Field(default=400, ge=1)


class Recipe(Strict):
    """Settings of one training.

    Attributes:
        kind: ``compact`` ends in an ONNX file for CPUs (mean-pooled, normalised embedding and a
            linear head); ``encoder`` in a Hugging Face checkpoint for sequence classification.
        name: Of the router; reported with every decision.
        base: ``package``, a folder or a hub id of the encoder to start from.
        sources: Declaration of the data, relative to the recipe's file.
        templates: JSONL file, or folder of them, with what applications put around a prompt
            (`modem.training.boilerplate.Template`), relative to the recipe's file; empty: none.
        evaluation: JSONL files or folders that must not be learnt, relative to the recipe's file;
            beside the validation sets and those in this package.
        sample: How many prompts are drawn.
        augmentation: How they are said otherwise.
        seed: Of the sample, the augmentation, the order and the dropout.
        soup: Networks that are fine-tuned from the same start, each on a draw of its own and with the next
            seed; the mean of their weights is taken (model soup, arXiv 2203.05482).
        epochs: Passes over the sample.
        max_steps: Ends the training earlier; None: not.
        batch_size: Prompts in one forward pass.
        gradient_accumulation: Passes in one step, so a step sees their product.
        learning_rate: Of the head and the top layer, at its highest.
        layer_decay: Each layer below learns by this factor slower; 1: all alike.
        frozen_layers: Lowest layers that do not learn.
        freeze_embeddings: The token embeddings do not learn.
        warmup: Share of the steps in which the rate rises, in [0, 1); it falls linearly after.
        weight_decay: Of AdamW, for matrices.
        label_smoothing: Share of the truth that is spread over all domains, in [0, 1).
        class_weights: Domains weigh the same, however many prompts they have.
        prior: Share of live traffic that each named domain has; the others share the rest alike. The head's
            bias is corrected for it after a training with `class_weights`, in which all were alike
            (Saerens et al. 2002, doi 10.1162/089976602753284446).
        dropout: Within the encoder; None: as its own configuration says.
        max_tokens: Of a text, special tokens included, in training and service.
        bf16: Mixed precision; None: on a GPU that has it, and on a CPU with AMX.
        gradient_checkpointing: Less memory, more time.
        checkpoint_steps: Steps between checkpoints to resume from.
        linear_probe: The head starts as the logistic regression on the frozen embeddings
            (LP-FT, arXiv 2202.10054).
        wise_ft_alpha: The final weights are ``(1 - alpha) * before + alpha * after`` training
            (WiSE-FT, arXiv 2109.01903); of several alphas the one with the least mean log loss
            over the held-out and the validation prompts is taken.
        neighbours: Who votes beside the head; how is chosen by the same log loss. None: nobody.
    """

    kind: Literal["compact", "encoder"] = "compact"
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    base: str = PACKAGE
    sources: str = "sources.yaml"
    templates: str = ""
    evaluation: tuple[str, ...] = ()
    sample: SampleConfig = SampleConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    seed: int = Field(default=0, ge=0)
    soup: int = Field(default=1, ge=1)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: Number = Field(default=2e-5, gt=0)
    layer_decay: Number = Field(default=1.0, gt=0, le=1)
    frozen_layers: int = Field(default=0, ge=0)
    freeze_embeddings: bool = False
    warmup: Number = Field(default=0.1, ge=0, lt=1)
    weight_decay: Number = Field(default=0.01, ge=0)
    label_smoothing: Number = Field(default=0.0, ge=0, lt=1)
    class_weights: bool = True
    prior: Mapping[DomainId, Annotated[Number, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    dropout: Annotated[Number, Field(ge=0, lt=1)] | None = None
    max_tokens: int = Field(default=256, ge=8)
    bf16: bool | None = None
    gradient_checkpointing: bool = False
    checkpoint_steps: int = Field(default=500, ge=1)
    linear_probe: bool = False
    wise_ft_alpha: Alpha | Annotated[tuple[Alpha, ...], Field(min_length=1)] = 1.0
    neighbours: PointsConfig | None = None

    @model_validator(mode="after")
    def _prior_leaves_something(self) -> Self:
        if self.prior and not self.class_weights:
            raise ValueError("prior corrects for domains that weighed the same: it needs class_weights")
        if sum(self.prior.values()) >= 1:
            raise ValueError("the shares in prior leave nothing for the other domains")
        return self

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "encoder" and (self.linear_probe or self.alphas != (1.0,) or self.soup > 1):
            raise ValueError(
                "linear_probe, wise_ft_alpha and soup are for kind 'compact': the head of an 'encoder' "
                "starts from nothing, so there is no model before training to go back to"
            )
        if self.soup > 1 and not self.linear_probe:
            raise ValueError("soup needs linear_probe: heads that start from nothing have no useful mean")
        if self.kind == "encoder" and (self.neighbours or self.prior):
            raise ValueError("neighbours and prior are for kind 'compact'; leave them out for an 'encoder'")
        return self

    @property
    def alphas(self) -> tuple[float, ...]:
        """The values of ``wise_ft_alpha``, one or more."""
        return self.wise_ft_alpha if isinstance(self.wise_ft_alpha, tuple) else (self.wise_ft_alpha,)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: The file is missing, not YAML, or a setting is wrong; says which.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        # By way of JSON, in which a strict model takes a list for a tuple.
        return Recipe.model_validate_json(json.dumps(content))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"{path}: not YAML of plain values: {error}") from error
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(str(part) for part in found["loc"]) or "recipe"
        raise ConfigError(f"{path}: {where}: {found['msg']}") from error

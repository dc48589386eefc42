"""Fine-tuning by transformers' Trainer. Imports torch and transformers: import it where one trains."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices

from modem.training.loading import Loaded
from modem.training.optimizer import make_optimizer
from modem.training.recipe import Recipe

Saying = Callable[[int, random.Random], str]
"""Says training prompt number i, perhaps otherwise than it stands there."""

_BATCH = 32


class Prompts(Dataset):  # type: ignore[misc] # torch is not typed under strict
    """Tokenised training prompts, said anew in every epoch.

    How a prompt is said depends on seed, epoch and number alone, so a training that is resumed
    sees what it would have seen.

    Args:
        say: Returns a prompt's text.
        labels: Column of each prompt's domain.
        tokenizer: Of transformers.
        max_tokens: Of a text; the rest is cut off.
        seed: Of the ways to say them.
    """

    def __init__(
        self, say: Saying, labels: Sequence[int], tokenizer: Any, max_tokens: int, seed: int
    ) -> None:
        self._say = say
        self._labels = labels
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._seed = seed
        self._epoch = -1
        self._tokens: list[dict[str, list[int]]] = []
        self.start(0)

    def start(self, epoch: int) -> None:
        """Say all prompts as they are said in an epoch, counted from 0."""
        if epoch == self._epoch:
            return
        self._epoch = epoch
        texts = [self._say(i, random.Random(f"{self._seed}/{epoch}/{i}")) for i in range(len(self))]
        self._tokens = tokenise(self._tokenizer, texts, self._max_tokens)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self._tokens[index], "labels": self._labels[index]}


class _ByLength(Sampler):  # type: ignore[misc]
    """Draws prompts of like length into one batch, so that little of a pass goes into padding.

    As transformers' own sampler does; but the order depends on seed and epoch alone and not on what chance
    was used up before, so a training that is resumed goes on with the prompts it has not seen.

    Args:
        prompts: To draw from; they are said anew when an epoch begins.
        step_size: Prompts that one step sees.
        seed: Of the order.
    """

    def __init__(self, prompts: Prompts, step_size: int, seed: int) -> None:
        self._prompts = prompts
        self._step_size = step_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate before each epoch, also before one that is resumed."""
        self._epoch = epoch
        self._prompts.start(epoch)

    def __len__(self) -> int:
        return len(self._prompts)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        lengths = [len(item["input_ids"]) for item in self._prompts]
        yield from get_length_grouped_indices(lengths, self._step_size, generator=generator)


class _Trainer(Trainer):  # type: ignore[misc]
    """transformers' Trainer with that sampler."""

    def _get_train_sampler(self, train_dataset: Any = None) -> _ByLength:
        step_size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return _ByLength(self.train_dataset, step_size, self.args.seed)


def fine_tune(
    loaded: Loaded, recipe: Recipe, prompts: Prompts, weights: NDArray[np.float64] | None, checkpoints: Path
) -> None:
    """Train a network in place, from the last checkpoint if there is one.

    Args:
        loaded: The network and its tokenizer.
        recipe: How.
        prompts: What to learn.
        weights: Of the domains in the loss, shape ``[k]``; None: all alike.
        checkpoints: Folder for them.
    """
    from transformers.trainer_utils import get_last_checkpoint

    checkpoints.mkdir(parents=True, exist_ok=True)
    trainer = _Trainer(
        model=loaded.network,
        args=arguments(recipe, checkpoints),
        train_dataset=prompts,
        data_collator=DataCollatorWithPadding(loaded.tokenizer),
        processing_class=loaded.tokenizer,
        compute_loss_func=_loss(recipe, weights),
        optimizers=(make_optimizer(loaded.network, recipe), None),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)))
    # Mixed precision leaves a wrapper around the network's forward, which an export would trace.
    trainer.accelerator.unwrap_model(loaded.network, keep_fp32_wrapper=False)
    loaded.network.eval()


def predict(
    network: Any,
    tokenizer: Any,
    texts: Sequence[str],
    max_tokens: int,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Run a network over texts.

    Returns:
        Its outputs by name, each of shape ``[n, ...]``, in the order of the texts: ``logits``, and
        ``embedding`` if it is compact.
    """
    tokens = tokenise(tokenizer, texts, max_tokens)
    # Texts of like length share a batch, so that little of a pass goes into padding.
    order = sorted(range(len(texts)), key=lambda index: len(tokens[index]["input_ids"]))
    device = next(network.parameters()).device
    rows: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        padded = tokenizer.pad([tokens[index] for index in batch], return_tensors="pt").to(device)
        with torch.inference_mode():
            found = network(**padded)
        for name in ("logits", "embedding"):
            if name in found:
                rows.setdefault(name, []).append(found[name].float().cpu().numpy())
        if on_batch is not None:
            on_batch(len(batch))
    back = np.argsort(order)
    return {name: np.concatenate(parts)[back] for name, parts in rows.items()}


def tokenise(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[dict[str, list[int]]]:
    """Return each text's inputs, cut off at so many tokens."""
    # JSON may carry lone surrogates, which the tokenizer refuses.
    clean = [text.encode("utf-8", errors="replace").decode("utf-8") for text in texts]
    found = tokenizer(clean, truncation=True, max_length=max_tokens)
    return [{key: found[key][index] for key in found} for index in range(len(clean))]


def _loss(recipe: Recipe, weights: NDArray[np.float64] | None) -> Callable[..., Tensor]:
    """Return cross entropy with the recipe's smoothing."""

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        by_domain = (
            None if weights is None else torch.tensor(weights, dtype=logits.dtype, device=logits.device)
        )
        total = torch.nn.functional.cross_entropy(
            logits, labels, weight=by_domain, label_smoothing=recipe.label_smoothing, reduction="sum"
        )
        # The Trainer gives the number of prompts in a whole step, of which this pass may be a part.
        return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)

    return loss


def multiplies_bf16() -> bool:
    """Whether the processor that trains multiplies in bfloat16: a GPU that has it, or a CPU with AMX.

    Most other CPUs compute them in software, at a small part of the speed of float32.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # An older PyTorch does not tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", False))


def arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """Translate a recipe into the Trainer's settings; checkpoints go to the folder."""
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        gradient_checkpointing=recipe.gradient_checkpointing,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=recipe.warmup,  # below 1 it is a share of all steps
        weight_decay=recipe.weight_decay,
        bf16=multiplies_bf16() if recipe.bf16 is None else recipe.bf16,
        use_cpu=not on_gpu,
        logging_steps=50,
        save_steps=recipe.checkpoint_steps,
        save_total_limit=2,
        report_to="none",
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
    )

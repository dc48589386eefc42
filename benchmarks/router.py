"""What a decision costs: the compact router against PyTorch, and a large encoder on a GPU.

- ``decision``: CPU of one decision, tokenizer included, batch 1, one thread: the compact router (int8
  ONNX) and PyTorch in float32 on the same architecture, interleaved round by round
- ``served``: the same from the prompt on, through `modem.routing.text`, which compresses it, and with all
  that `modem.routing.load` puts around a router
- ``throughput``: wall time a text on two cores: two threads of the compact router, and PyTorch with two
  threads, one text after the other
- ``process``: what a process that only serves the router needs until it has answered, and holds
- ``gpu``: time to an answer, texts a second and memory of a large encoder, where there is a GPU

Run: ``python -m benchmarks.router [--model DIR | --random] [--rounds 15] [--json]``. DIR is a compact
router's folder or a checkpoint for ``kind: encoder``; the shipped router by default. ``--random`` takes
random weights of MiniLM's shape, and on a GPU of DeBERTa-v3-large's: speed does not depend on them. Quote
ratios: absolute figures depend on the machine and on what else it does.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from modem.routing.base import Router
from modem.routing.compact import CompactRouter
from modem.routing.encoder_router import EncoderRouter
from modem.routing.load import SHIPPED_ROUTER
from modem.routing.text import plain_routing_text

Samples = dict[str, list[float]]
Action = Callable[[], object]

CORES = 2
NUM_TEXTS = 16
NUM_GPU_TEXTS = 256
_SENTENCES = (
    "A train leaves the station at noon and travels north at sixty kilometres an hour.",
    "The patient reports a dull pain below the ribs that gets worse after meals.",
    "Whales breathe air and so have to come up every so often, some of them twice an hour.",
    "The function returns early when the list is empty, which the caller does not expect.",
    "Under the treaty both sides withdrew their ships from the strait within a month.",
    "How much does each of the three earn if the profit is split by hours of work?",
)


_NUMBERS = itertools.count(1)


def prompt(num_words: int) -> str:
    """Return prose, another one at each call; a word is a little more than a token."""
    words = " ".join(_SENTENCES).split()
    return f"{next(_NUMBERS)} " + " ".join(words[index % len(words)] for index in range(num_words))


@contextmanager
def reading(folder: Path, max_tokens: int) -> Iterator[Path]:
    """Offer a compact router's folder that reads so many tokens of a text."""
    with tempfile.TemporaryDirectory() as copy:
        for file in folder.iterdir():
            if file.name != "router.json":
                (Path(copy) / file.name).symlink_to(file.resolve())
        about = json.loads((folder / "router.json").read_text())
        (Path(copy) / "router.json").write_text(json.dumps({**about, "max_tokens": max_tokens}))
        yield Path(copy)


class Peer:
    """The compact router's architecture in PyTorch, used as its libraries' documents have it.

    Args:
        folder: Of the compact router, for its tokenizer.
        base: Encoder whose architecture it has; None for MiniLM's.
    """

    def __init__(self, folder: Path, base: str | None) -> None:
        from transformers import PreTrainedTokenizerFast

        self._network = random_network(base)
        self._tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))

    def score(self, max_tokens: int) -> None:
        """Score one text of so many tokens."""
        import torch

        inputs = self._tokenizer(
            prompt(max_tokens), truncation=True, max_length=max_tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            self._network(inputs["input_ids"], inputs["attention_mask"])["logits"].softmax(dim=1).tolist()


def random_network(base: str | None) -> Any:
    """Return a network of random weights in float32, shaped as an encoder or as MiniLM."""
    from transformers import AutoConfig, AutoModel, BertConfig

    from modem.routing.encoder import locate
    from modem.training.network import CompactNetwork

    if base is None:
        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
    else:
        config = AutoConfig.from_pretrained(str(locate(base)[1]), trust_remote_code=False)
    return CompactNetwork(AutoModel.from_config(config), 5).eval()


def write_random(folder: Path) -> Path:
    """Write a compact router of random weights in MiniLM's shape, with MiniLM's tokenizer."""
    from transformers import AutoTokenizer

    from modem.routing.encoder import PACKAGE, locate
    from modem.training.onnx_file import export
    from tests.compact import write_compact_router

    tokenizer = AutoTokenizer.from_pretrained(str(locate(PACKAGE)[1]), local_files_only=True)
    write_compact_router(folder, background=False, max_tokens=256)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    export(random_network(None), tokenizer, folder / "model.onnx")
    return folder


def interleaved(actions: Mapping[str, Action], rounds: int, clock: Callable[[], float]) -> Samples:
    """Run each action once a round; return milliseconds. The first two rounds warm up."""
    found: Samples = {name: [] for name in actions}
    for number in range(rounds + 2):
        for name in actions if number % 2 else reversed(tuple(actions)):
            started = clock()
            actions[name]()
            found[name].append(1000 * (clock() - started))
    return {name: times[2:] for name, times in found.items()}


def decision(folder: Path, peer: Peer, rounds: int) -> Samples:
    """CPU-milliseconds of one decision."""
    import torch

    torch.set_num_threads(1)
    actions: dict[str, Action] = {}
    for length in (128, 512):
        with reading(folder, length) as copy:
            router = CompactRouter(copy)
        actions[f"{length} tokens, compact"] = partial(score_raw, router, length)
        actions[f"{length} tokens, PyTorch"] = partial(peer.score, length)
    return interleaved(actions, rounds, time.process_time)


def served(folder: Path, rounds: int) -> Samples:
    """CPU-milliseconds of a decision from the prompt to the scores."""
    from modem.config import RouterConfig
    from modem.routing.load import load_router

    router = load_router(RouterConfig(kind="compact", model=str(folder)))

    def serve(num_words: int) -> None:
        router.score([plain_routing_text(prompt(num_words)).text])

    words = {"16 words": 16, "128 tokens": 105, "512 tokens": 420, "4,096 tokens": 3400}
    actions = {name: partial(serve, number) for name, number in words.items()}
    return interleaved(actions, rounds, time.process_time)


def score_raw(router: Router, num_words: int) -> None:
    """Score a text of at least so many tokens."""
    router.score([prompt(num_words)])


def throughput(folder: Path, peer: Peer, rounds: int) -> Samples:
    """Wall milliseconds a text of 128 tokens on two cores."""
    import torch

    torch.set_num_threads(CORES)
    with reading(folder, 128) as copy:
        router = CompactRouter(copy, num_threads=CORES)

    def one_by_one() -> None:
        for _ in range(NUM_TEXTS):
            peer.score(128)

    def together() -> None:
        router.score([prompt(128) for _ in range(NUM_TEXTS)])

    found = interleaved({"compact": together, "PyTorch": one_by_one}, rounds, time.perf_counter)
    return {name: [took / NUM_TEXTS for took in times] for name, times in found.items()}


_PROCESS = """
import time; started = time.time()
import json, sys, psutil
from modem.config import RouterConfig
from modem.routing.load import load_router
load_router(RouterConfig(**json.loads(sys.argv[1]))).score(["Which of these is a prime number? " * 20])
took, me = time.time() - started, psutil.Process()
memory, cpu = me.memory_full_info(), me.cpu_times()
print(json.dumps({"ready_s": took, "cpu_s": cpu.user + cpu.system, "rss_mb": memory.rss / 1e6,
                  "uss_mb": memory.uss / 1e6}))
"""


def process(folder: Path) -> dict[str, dict[str, float]]:
    """What a fresh process takes and holds, for the compact and the linear router."""
    kinds = {"compact": {"kind": "compact", "model": str(folder)}, "linear": {"kind": "linear"}}
    return {
        kind: json.loads(
            subprocess.run(
                [sys.executable, "-c", _PROCESS, json.dumps(config)],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            ).stdout
        )
        for kind, config in kinds.items()
    }


def gpu(checkpoint: Path, rounds: int) -> dict[str, float]:
    """Time to an answer, texts a second and memory of a large encoder, at 512 tokens."""
    import torch

    router = EncoderRouter(checkpoint, max_batch_tokens=16 * 512)

    def many() -> None:
        router.score([prompt(512) for _ in range(NUM_GPU_TEXTS)])

    torch.cuda.reset_peak_memory_stats()
    one = interleaved({"": partial(score_raw, router, 512)}, 10 * rounds, time.perf_counter)[""]
    took = statistics.median(interleaved({"": many}, rounds, time.perf_counter)[""])
    return {
        "p50_ms": statistics.median(one),
        "p95_ms": statistics.quantiles(one, n=20)[-1],
        "texts_per_s": 1000 * NUM_GPU_TEXTS / took,
        "peak_gib": torch.cuda.max_memory_allocated() / 1024**3,
    }


def report(found: Mapping[str, Any]) -> str:
    """Markdown tables: medians with quartiles."""
    lines: list[str] = []
    for title, unit in {
        "decision": "CPU-ms",
        "served": "CPU-ms",
        "throughput": "wall ms a text, two cores",
    }.items():
        if title in found:
            lines += [f"| {title} | {unit} |", "|---|---|"]
            lines += [f"| {name} | {_spread(times)} |" for name, times in found[title].items()] + [""]
    for title in ("process", "gpu"):
        for name, figures in found.get(title, {}).items():
            values = figures.items() if isinstance(figures, dict) else [("", figures)]
            lines.append(
                f"{title} {name}: " + ", ".join(f"{key} {value:.3g}".strip() for key, value in values)
            )
    if "throughput" in found:
        medians = {name: statistics.median(times) for name, times in found["throughput"].items()}
        lines.append(f"throughput against PyTorch: {medians['PyTorch'] / medians['compact']:.1f} times")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    quarter, median, three = statistics.quantiles(values, n=4)
    return f"{median:.2f} ({quarter:.2f}-{three:.2f})"


def measure_compact(folder: Path, base: str | None, rounds: int) -> dict[str, Any]:
    """Measure all that needs no GPU."""
    peer = Peer(folder, base)
    return {
        "decision": decision(folder, peer, rounds),
        "served": served(folder, rounds),
        "throughput": throughput(folder, peer, rounds),
        "process": process(folder),
    }


def measure_random_gpu(folder: Path, rounds: int) -> dict[str, Any]:
    """Measure random weights of DeBERTa-v3-large's shape, where there is a GPU."""
    import torch

    if not torch.cuda.is_available():
        return {}
    from tests.checkpoints import deberta_v3_large, write_checkpoint

    return {"gpu": gpu(write_checkpoint(folder, deberta_v3_large, dtype="bfloat16"), rounds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model", type=Path, default=SHIPPED_ROUTER)
    model.add_argument("--random", action="store_true")
    parser.add_argument("--base", help="encoder whose shape the model has: 'package', a folder or a hub id")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="modem-bench-"))
    try:
        if args.random:
            found = measure_compact(write_random(scratch / "compact"), None, args.rounds)
            found |= measure_random_gpu(scratch / "large", args.rounds)
        elif (args.model / "config.json").is_file():
            found = {"gpu": gpu(args.model, args.rounds)}
        else:
            found = measure_compact(args.model, args.base, args.rounds)
    finally:
        shutil.rmtree(scratch)
    print(json.dumps(found) if args.json else report(found))


if __name__ == "__main__":
    main()

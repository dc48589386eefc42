"""Independent load generators, asked to do what ours does; for `benchmarks.loadtest`.

They live in environments of their own: ``python -m venv guidellm; guidellm/bin/pip install guidellm``.
What each calls TTFT, ITL and throughput was read in its source; where it differs from ours is told below.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loadtest_server import MODEL

TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a load generator says, as medians.

    Attributes:
        ttft_ms: Median time to first content, from the send.
        itl_ms: Median over requests of their mean gap: all three tools have this one.
        tokens_per_s: Output tokens of all answers over the time from the first send to the last token.
        num_ok: Answers.
    """

    ttft_ms: float
    itl_ms: float
    tokens_per_s: float
    num_ok: int


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: a closed loop, whose throughput shows what a client loses between two answers.

    Attributes:
        url: Of the server.
        users: Who ask at once.
        num_requests: In all.
        prompt_tokens: Of a question.
        output_tokens: Of an answer.
        tokenizer: Folder of one, for tools that make prompts by tokens.
    """

    url: str
    users: int
    num_requests: int
    prompt_tokens: int
    output_tokens: int
    tokenizer: Path


def ask_peer(tool: Path, task: Task, folder: Path) -> Figures:
    """Run a tool to its end.

    Args:
        tool: Its program, named ``guidellm`` or ``aiperf``.
        task: What to do.
        folder: For its files.

    Raises:
        SystemExit: It is another tool, or it failed.
    """
    if tool.name not in _TOOLS:
        raise SystemExit(f"--peer {tool}: know only {' and '.join(_TOOLS)}")
    folder.mkdir(parents=True)
    command, read = _TOOLS[tool.name]
    with (folder / "log.txt").open("wb") as log:
        done = subprocess.run(
            [str(tool), *command(task, folder)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=TIMEOUT_S,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{tool} failed ({done.returncode}):\n{(folder / 'log.txt').read_text()[-3000:]}")
    return read(folder)


def _guidellm(task: Task, folder: Path) -> list[str]:
    return [
        "run",
        "--disable-console-interactive",
        *("--backend", f"kind=openai_http,target={task.url},model={MODEL},http2=false"),
        *("--profile", f"kind=concurrent,streams={task.users}"),
        *("--constraint", f"kind=max_requests,count={task.num_requests}"),
        *("--tokenizer", f"kind=huggingface_auto,model={task.tokenizer}"),
        *(
            "--data",
            f"kind=synthetic_text,prompt_tokens={task.prompt_tokens},output_tokens={task.output_tokens}",
        ),
        *("--output", f"kind=json,path={folder / 'figures.json'}"),
    ]


def _read_guidellm(folder: Path) -> Figures:
    """TTFT: from the first write of the head, after the connection is made, to the first delta with text.

    ITL: from the first to the last delta with text, over ``usage``'s tokens less one. (Its "TPOT" is another
    thing: from the send to the last token, over all tokens.)
    """
    benchmark = json.loads((folder / "figures.json").read_text())["benchmarks"][0]
    metrics = {
        name: spread["successful"] for name, spread in benchmark["metrics"].items() if "_token" in name
    }
    return Figures(
        metrics["time_to_first_token_ms"]["median"],
        metrics["inter_token_latency_ms"]["median"],
        metrics["output_tokens_per_second"]["mean"],
        len(benchmark["requests"]["successful"]),
    )


def _aiperf(task: Task, folder: Path) -> list[str]:
    return [
        "profile",
        *("--model", MODEL, "--url", task.url, "--endpoint-type", "chat", "--streaming"),
        *("--concurrency", str(task.users), "--request-count", str(task.num_requests)),
        *("--prompt-input-tokens-mean", str(task.prompt_tokens), "--prompt-input-tokens-stddev", "0"),
        *("--output-tokens-mean", str(task.output_tokens), "--output-tokens-stddev", "0"),
        *("--tokenizer", str(task.tokenizer), "--use-server-token-count", "--ui", "none"),
        *("--workers-max", "1", "--record-processors", "1", "--no-gpu-telemetry", "--no-server-metrics"),
        *("--artifact-dir", str(folder)),
    ]


def _read_aiperf(folder: Path) -> Figures:
    """TTFT: from before the connection is taken to the first response with text.

    ITL: from the first to the last response with text, over the tokens less one. Throughput: tokens over the
    time from the first request to the last response.
    """
    (path,) = folder.rglob("profile_export_aiperf.json")
    report: Mapping[str, Any] = json.loads(path.read_text())
    return Figures(
        report["time_to_first_token"]["p50"],
        report["inter_token_latency"]["p50"],
        report["output_token_throughput"]["avg"],
        int(report["request_count"]["avg"]),
    )


_TOOLS = {"guidellm": (_guidellm, _read_guidellm), "aiperf": (_aiperf, _read_aiperf)}

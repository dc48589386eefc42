"""Whether the load generator tells the truth: against the server's own record, a trace, and other tools.

Three parts, each against a simulated expert in a process of its own (plain uvicorn, no Ray) and with the
real command, ``modem load run``, one worker:

- ``accuracy``: 200 concurrent streams. The server notes when it received each request and when it gave each
  piece of text to the socket; the client's TTFT (from the send) and gaps are held against it, request by
  request. Both clocks are the machine's monotonic one, and only differences count. An error of TTFT is the
  way through the kernel and both event loops' queues. Also: CPU of the client a chunk, lateness, loop lag.
- ``replay``: a recorded trace, ten times as fast. Prompts are as long as the trace's; answers are cut, since
  one server process could not write the original ones at this rate. How many were sent within 20 ms of
  their time, and whether the report names the others.
- ``peer``: the same closed loop by this tool and an independent one, interleaved.

Run: ``python -m benchmarks.loadtest accuracy [--rounds 3]``,
``python -m benchmarks.loadtest replay --trace AzureLLMInferenceTrace_conv.csv``,
``python -m benchmarks.loadtest peer --peer /path/to/bin/guidellm --tokenizer FOLDER``. Without ``--peer``
that part is skipped. The folders of the runs are kept with ``--keep FOLDER``.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.loadtest_peer import Figures, Task, ask_peer
from benchmarks.loadtest_run import Others, Server, load, recorded, records, serving
from benchmarks.loadtest_server import Served
from modem.load.certificate import LATE_S, certify
from modem.load.record import Record
from modem.load.run import Run
from modem.load.summary import summarise

TTFT_S = 0.1
TPOT_S = 0.05
NUM_TOKENS = 100
STREAM_S = TTFT_S + TPOT_S * NUM_TOKENS
IDLE = {"name": "idle", "rate": 1, "duration_s": 10, "arrivals": "constant", "output_tokens": 1}
PEER_TTFT_S, PEER_TPOT_S, PEER_TOKENS = 0.1, 0.02, 32
PEER_USERS = 16
PEER_S = 30.0
PROMPT_TOKENS = 32


def accuracy(args: argparse.Namespace, folder: Path) -> None:
    """Hold the client against the server's record."""
    scenario = {
        "name": "accuracy",
        # A little more than is asked for, since Poisson arrivals make the number in flight vary.
        "rate": 1.05 * args.streams / STREAM_S,
        "duration_s": args.seconds,
        "output_tokens": NUM_TOKENS,
    }
    print(
        "| round | streams | chunks | TTFT error ms p50, p99, max | ITL error ms p50, p99, max "
        "| CPU us / chunk | send late ms p99, max | loop lag ms mean, max | certified | other busy cores |\n"
        + "|---" * 10
        + "|"
    )
    rows = []
    with serving(TTFT_S, TPOT_S) as server:
        idle_share = _cpu_share(load(server.url, folder / "idle", IDLE))
        for number in range(1, args.rounds + 1):
            others = Others(server)
            run = load(server.url, folder / f"accuracy{number}", {**scenario, "seed": number})
            rows.append(_accuracy_row(run, {one.id: one for one in recorded(server.url)}, idle_share))
            print(f"| {number} {_shown(run, rows[-1])} | {others.cores():.2f} |", flush=True)
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    print(f"\nidle client: {100 * idle_share:.1f} % of a core, subtracted\nmedians: {json.dumps(medians)}")


def _accuracy_row(run: Run, served: Mapping[str, Served], idle_share: float) -> dict[str, float]:
    ttft_s, itl_s = _errors(records(run), served)
    steady = [one.in_flight for one in run.client if STREAM_S < one.t_s < run.span_s]
    elapsed_s = run.client[-1].t_s
    cpu_s = (_cpu_share(run) - idle_share) * elapsed_s
    row = {"streams": statistics.mean(steady), "chunks": float(len(itl_s) + len(ttft_s))}
    for name, errors in (("ttft", ttft_s), ("itl", itl_s)):
        p50, p99 = np.quantile(np.abs(errors), (0.5, 0.99))
        row |= {f"{name}_p50_ms": 1000 * p50, f"{name}_p99_ms": 1000 * p99}
        row[f"{name}_max_ms"] = 1000 * float(np.abs(errors).max())
    row["cpu_us"] = 1e6 * cpu_s / row["chunks"]
    lateness = certify(run).lateness
    row |= {"late_p99_ms": 1000 * lateness.p99_s, "late_max_ms": 1000 * lateness.worst_s}
    row["lag_mean_ms"] = 1000 * statistics.mean(one.lag_mean_s for one in run.client)
    row["lag_max_ms"] = 1000 * max(one.lag_max_s for one in run.client)
    return row


def _errors(
    done: list[Record], served: Mapping[str, Served]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the client's figures less the server's: TTFT of each stream, and each gap."""
    ttft_s, itl_s = [], []
    for record in done:
        own = served[record.request_id or ""]
        if record.ttft_from_sent_s is None or record.num_chunks != len(own.content_s):
            raise SystemExit(
                f"{record.request_id}: {record.outcome}; the client saw {record.num_chunks} pieces of text, "
                f"the server sent {len(own.content_s)}"
            )
        ttft_s.append(record.ttft_from_sent_s - (own.content_s[0] - own.received_s))
        itl_s.append(np.array(record.itl_s) - np.diff(own.content_s))
    return np.array(ttft_s), np.concatenate(itl_s)


def _cpu_share(run: Run) -> float:
    """Mean CPU of the load generator, from its start to its last answer; samples are a second each."""
    spans_s = np.diff([0.0, *(one.t_s for one in run.client)])
    return float(np.average([one.cpu_share for one in run.client], weights=spans_s))


def _shown(run: Run, row: dict[str, float]) -> str:
    certificate = certify(run)
    verdict = "yes" if certificate.ok else f"no: {'; '.join(certificate.reasons)}"
    return (
        f"| {row['streams']:.0f} | {row['chunks']:.0f} "
        f"| {row['ttft_p50_ms']:.2f}, {row['ttft_p99_ms']:.2f}, {row['ttft_max_ms']:.2f} "
        f"| {row['itl_p50_ms']:.2f}, {row['itl_p99_ms']:.2f}, {row['itl_max_ms']:.2f} | {row['cpu_us']:.1f} "
        f"| {row['late_p99_ms']:.2f}, {row['late_max_ms']:.2f} "
        f"| {row['lag_mean_ms']:.2f}, {row['lag_max_ms']:.2f} | {verdict}"
    )


def replay(args: argparse.Namespace, folder: Path) -> None:
    """Replay a trace and see whether its arrivals were kept."""
    scenario = {
        "name": "replay",
        "replay": {"trace": str(args.trace.resolve()), "speed": args.speed, "max_output_tokens": args.tokens},
        "duration_s": args.seconds,
    }
    with serving(TTFT_S / 2, TPOT_S / 5) as server:
        others = Others(server)
        run = load(server.url, folder / "replay", scenario)
        busy_cores = others.cores()
    late_s, ok, span_s = run.records.late_s, run.records.ok, run.span_s
    late, num = certify(run).lateness, len(run.records)
    told = json.loads((run.folder / "summary.json").read_text())["certificate"]
    prompt_tokens = np.mean(run.records.prompt_tokens[ok])
    print(
        f"{num} of {run.info.num_planned} arrivals in {span_s:.0f} s ({num / span_s:.1f}/s), answers "
        f"cut to {args.tokens} tokens, prompts of {prompt_tokens:.0f} words in the mean, "
        f"{num - int(ok.sum())} failed, {busy_cores:.2f} cores busy with other work\n"
        f"within {1000 * LATE_S:.0f} ms: {num - late.num_late} ({100 * (1 - late.num_late / num):.3f} %), "
        f"late ms p50 {1000 * np.median(late_s):.2f}, p99 {1000 * late.p99_s:.2f}, "
        f"worst {1000 * late.worst_s:.1f}; never sent: {late.num_never_sent}\n"
        f"client CPU {100 * _cpu_share(run):.0f} % of a core; the report says: {json.dumps(told)}"
    )


def peer(args: argparse.Namespace, folder: Path) -> None:
    """Hold this tool against others."""
    if not args.peer:
        print("peer: skipped, no --peer PROGRAM given (guidellm or aiperf)")
        return
    num = round(PEER_USERS * PEER_S / (PEER_TTFT_S + PEER_TPOT_S * (PEER_TOKENS - 1)))
    found: dict[str, list[Figures]] = {"modem": [], **{tool.name: [] for tool in args.peer}}
    with serving(PEER_TTFT_S, PEER_TPOT_S) as server:
        task = Task(server.url, PEER_USERS, num, PROMPT_TOKENS, PEER_TOKENS, args.tokenizer.resolve())
        for number in range(1, args.rounds + 1):
            others = Others(server)
            found["modem"].append(_own(load(server.url, folder / f"modem{number}", _closed_loop(number))))
            _show_truth("modem", found, server, others)
            for tool in args.peer:
                others = Others(server)
                found[tool.name].append(ask_peer(tool, task, folder / f"{tool.name}{number}"))
                _show_truth(tool.name, found, server, others)
    print("| tool | TTFT p50 ms | ITL p50 ms | output tokens/s | modem's over its |\n" + "|---" * 5 + "|")
    own = _medians(found["modem"])
    for name, rounds in found.items():
        its = _medians(rounds)
        ratios = ", ".join(f"{mine / other:.3f}" for mine, other in zip(own, its, strict=True))
        print(f"| {name} | {its[0]:.2f} | {its[1]:.3f} | {its[2]:.1f} | {ratios} |")


def _closed_loop(seed: int) -> dict[str, object]:
    return {
        "name": "peer",
        "users": PEER_USERS,
        "duration_s": PEER_S,
        "prompt_tokens": PROMPT_TOKENS,
        "output_tokens": PEER_TOKENS,
        "seed": seed,
    }


def _own(run: Run) -> Figures:
    total = summarise(run).total
    assert total.ttft_from_sent_s.p50 is not None
    assert total.tpot_s.p50 is not None
    rate = total.output_tokens_per_s
    return Figures(1000 * total.ttft_from_sent_s.p50, 1000 * total.tpot_s.p50, rate, total.num_ok)


def _show_truth(name: str, found: Mapping[str, list[Figures]], server: Server, others: Others) -> None:
    """Print a round's figures, and the server's record of the same requests."""
    told = found[name][-1]
    busy_cores = others.cores()
    streams = [one for one in recorded(server.url) if len(one.content_s) == PEER_TOKENS]
    ttft_ms = 1000 * statistics.median(one.content_s[0] - one.received_s for one in streams)
    gaps = PEER_TOKENS - 1
    itl_ms = 1000 * statistics.median((one.content_s[-1] - one.content_s[0]) / gaps for one in streams)
    print(
        f"  {name}: TTFT {told.ttft_ms:.2f} ms (server {ttft_ms:.2f}), ITL {told.itl_ms:.3f} ms "
        f"(server {itl_ms:.3f}), {told.tokens_per_s:.1f} tokens/s, {told.num_ok} answers (server "
        f"{len(streams)}), {busy_cores:.2f} cores busy with other work",
        flush=True,
    )


def _medians(rounds: list[Figures]) -> tuple[float, float, float]:
    return (
        statistics.median(one.ttft_ms for one in rounds),
        statistics.median(one.itl_ms for one in rounds),
        statistics.median(one.tokens_per_s for one in rounds),
    )


def main() -> None:
    """Do one part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("accuracy", "replay", "peer"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, help="30 for accuracy, all of the trace for replay")
    parser.add_argument("--trace", type=Path, help="of replay")
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--tokens", type=int, default=8, help="most of a replayed answer")
    parser.add_argument("--peer", type=Path, action="append", help="another tool; repeatable")
    parser.add_argument("--tokenizer", type=Path, help="folder of one, for the other tool")
    parser.add_argument("--keep", type=Path, help="folder for the runs, deleted otherwise")
    args = parser.parse_args()
    if args.part == "replay" and args.trace is None:
        parser.error("replay needs --trace")
    if args.part == "peer" and args.peer and args.tokenizer is None:
        parser.error("--peer needs --tokenizer")
    if args.part == "accuracy":
        args.seconds = args.seconds or 30.0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        {"accuracy": accuracy, "replay": replay, "peer": peer}[args.part](args, folder)


if __name__ == "__main__":
    main()

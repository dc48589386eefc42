"""``modem tune`` on a small trace, with Serve's own control loop."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from modem.cli.tune import tune_command
from modem.serve_config.check import check_text
from tests.builders import expert, front, mixture

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(tune_command)

DOMAINS = ("math", "other")
COMMON = (
    "--trials",
    5,
    "--seeds",
    1,
    "--fresh-seeds",
    1,
    "--processes",
    1,
    "--policies",
    "ongoing_requests,slo",
)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A config of two simulated experts, one of which gets all requests, with a burst; and the trace."""
    folder = tmp_path_factory.mktemp("tune")
    patient = {"graceful_shutdown_timeout_s": 600}
    scaling = {"max_replicas": 3, "target_ongoing_requests": 2, "downscale_delay_s": 60}
    slow: dict[str, Any] = {"ttft_s": 0.5, "tpot_s": 0.05, "startup_s": 4.0, "max_num_seqs": 4}
    patient["max_ongoing_requests"] = 6
    applications = [front(domains=DOMAINS, routing={"fallback": "other"})]
    applications += [expert(domain, patient, scaling, **slow) for domain in DOMAINS]
    config = folder / "serve.yaml"
    text = yaml.safe_dump(mixture(applications, port=8000), sort_keys=False)
    config.write_text(f"# Kept.\n{text}")
    trace = folder / "trace.jsonl"
    times = [float(t) for t in range(0, 240, 4)] + [60 + t / 4 for t in range(120)]
    rows = [{"t_s": t, "domain": "math", "prompt_tokens": 20, "output_tokens": 20} for t in sorted(times)]
    trace.write_text("\n".join(map(json.dumps, rows)))
    return config, trace


def test_a_config_with_the_settings_is_written_and_valid(files: tuple[Path, Path], tmp_path: Path) -> None:
    config, trace = files
    out, figures, plots = tmp_path / "new.yaml", tmp_path / "tune.json", tmp_path / "plots"
    found = run(
        "--config", config, "--trace", trace, "--held-out-from-s", 120, "--slo", "ttft_p80<2s", *COMMON,
        "--out", out, "--json", figures, "--plot", plots,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "On what was held out" in found.output
    assert "recommended (" in found.output
    text = out.read_text()
    assert text.startswith("# Kept.\n")
    assert check_text(text, "new.yaml")[1] == []
    assert (plots / "math-front.png").stat().st_size > 1000
    assert not (plots / "other-front.png").exists()
    experts = json.loads(figures.read_text())["experts"]
    assert experts["other"]["num_trials"] == 0
    assert experts["math"]["num_trials"] == 5
    assert {each["policy"] for each in experts["math"]["policies"]} == {"ongoing_requests", "slo"}
    best = experts["math"]["policies"][0]
    assert best["held_out"]["score"]["num_requests"] == 30
    application = yaml.safe_load(text)["applications"][1]
    changed = application["deployments"][0]["autoscaling_config"]
    for key, value in best["settings"]["scaling"].items():
        assert changed[key] == value
    if best["policy"] == "slo":
        assert "restarts the replicas of expert-math" in found.output
        assert application["autoscaling_policy"]["policy_kwargs"] == best["settings"]["params"]
    else:
        assert "autoscaling_policy" not in application


def test_a_trace_may_be_tuned_on_at_several_times_its_rate(files: tuple[Path, Path]) -> None:
    config, trace = files
    found = run("--config", config, "--trace", trace, "--rate", 2, "--slo", "ttft_p10<60s", *COMMON)
    assert found.exit_code == 0, found.output
    assert "math: 5 settings on 360 requests" in found.output


def test_what_cannot_be_held_is_said_by_the_exit_status(files: tuple[Path, Path]) -> None:
    config, trace = files
    found = run("--config", config, "--trace", trace, "--slo", "ttft_p100<100ms", *COMMON)
    assert found.exit_code == 1
    assert "no settings hold the target for every expert" in found.output
    assert "nothing was held out" in found.output
    assert "wrote" not in found.output


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("--slo", "ttft<2s"), "--slo 'ttft<2s'"),
        (("--policies", "best"), "--policies 'best': write some of ongoing_requests"),
        (("--held-out-from-s", 500), "is over by then"),
        (("--held-out-from-s", 50, "--held-out", "x"), "not both"),
        (("--trace", "nothing.jsonl"), "nothing.jsonl"),
        (("--profile", "nothing.json"), "nothing.json"),
        (("--config", "nothing.yaml"), "nothing.yaml"),
    ],
)
def test_what_is_wrong_is_named(files: tuple[Path, Path], changes: tuple[object, ...], says: str) -> None:
    config, trace = files
    found = run("--config", config, "--trace", trace, "--slo", "ttft_p80<2s", *COMMON, *changes)
    assert found.exit_code == 2, found.output
    assert says in found.output
    assert "Traceback" not in found.output

"""Every rule has an example that breaks it by one change of a valid file."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from modem.serve_config.check import check_file, check_text
from modem.serve_config.document import read
from modem.serve_config.rules import deployment, domains, expert, front
from tests.unit.serve_config import builder
from tests.unit.serve_config.builder import Change, append, broken, drop, every, put, rename, valid

GATEWAY = "applications[0].deployments[0]"
USER = f"{GATEWAY}.user_config"
ROUTER = "applications[0].deployments[1]"
LLM = "applications[1]"
LLM_DEPLOYMENT = f"{LLM}.deployments[0]"
LLM_SCALING = f"{LLM_DEPLOYMENT}.autoscaling_config"
LOADING = f"{LLM}.args.model_loading_config"
ENGINE = f"{LLM}.args.engine_kwargs"
SIMULATED = "applications[2]"
SIMULATED_DEPLOYMENT = f"{SIMULATED}.deployments[0]"
SIMULATED_SCALING = "applications[1].deployments[0].autoscaling_config"  # where nothing else is an expert


@dataclass(frozen=True)
class Case:
    """One change of the valid config, and the one problem it makes."""

    name: str
    change: Change
    path: str
    value: object
    remedy: str


def wrong(name: str, path: str, value: object, remedy: str) -> Case:
    """The problem is the value that was put in."""
    return Case(name, put(path, value), path, value, remedy)


def without(name: str, path: str, remedy: str) -> Case:
    """The problem is the key that was taken out."""
    return Case(name, drop(path), path, None, remedy)


UNKNOWN_KEYS = [
    wrong("top", "proxy_locatoin", "HeadOnly", "'proxy_location'"),
    wrong("http", "http_options.hots", "x", "'host'"),
    wrong("application", f"{LLM}.route_prefx", None, "'route_prefix'"),
    wrong("port of one application", f"{LLM}.port", 1, "import_path"),
    wrong("deployment", f"{LLM_DEPLOYMENT}.max_ongoing_request", 3, "'max_ongoing_requests'"),
    Case(
        "autoscaling",
        rename(f"{LLM_SCALING}.target_ongoing_requests", "targt_ongoing_requests"),
        f"{LLM_SCALING}.targt_ongoing_requests",
        4,
        "'target_ongoing_requests'",
    ),
    wrong("actor options", f"{ROUTER}.ray_actor_options.num_cpu", 1, "'num_cpus'"),
    Case(
        "logging", put("logging_config", {"encodin": "JSON"}), "logging_config.encodin", "JSON", "'encoding'"
    ),
    Case(
        "runtime_env",
        put(f"{LLM}.runtime_env", {"env_var": {}}),
        f"{LLM}.runtime_env.env_var",
        {},
        "'env_vars'",
    ),
    wrong("router", "applications[0].args.router.batch_wait_timeout", 0, "'batch_wait_timeout_s'"),
    wrong("routing", f"{USER}.routing.treshold", 1, "'threshold'"),
    wrong("limits", f"{USER}.limits.hartbeat_s", 1, "'heartbeat_s'"),
    wrong("domain", f"{USER}.domains.math.promt", "x", "system_prompt"),
    wrong("sampling", f"{USER}.domains.math.sampling.temprature", 0, "'temperature'"),
    wrong("expert", f"{LLM}.args.engine_kwarg", {}, "'engine_kwargs'"),
    wrong("model loading", f"{LOADING}.model_sorce", "x", "'model_source'"),
    wrong("accelerator", f"{LLM}.args.accelerator_config.kidn", "x", "'kind'"),
    Case(
        "experimental",
        put(f"{LLM}.args.experimental_configs", {"stream_batching_ms": 0}),
        f"{LLM}.args.experimental_configs.stream_batching_ms",
        0,
        "'stream_batching_interval_ms'",
    ),
    wrong("engine", f"{ENGINE}.max_modl_len", 5, "'max_model_len'"),
    wrong("engine, model", f"{ENGINE}.model", "a/b", "model_source"),
    wrong("engine, served name", f"{ENGINE}.served_model_name", "m", "model_id"),
    wrong("simulated", f"{SIMULATED}.args.ttft", 1, "'ttft_s'"),
]

WRONG_VALUES = [
    wrong("no number", "http_options.port", "8000", "without quotes"),
    wrong("no text", "http_options.host", 1, "text"),
    wrong("out of bounds", "http_options.port", 70000, "at most 65535"),
    wrong("no choice", "proxy_location", "Headonly", "'HeadOnly'"),
    wrong("no mapping", f"{LLM}.args.engine_kwargs", [1], "key: value"),
    wrong("no list", f"{LLM}.deployments", {"a": 1}, "'- '"),
    wrong("no truth value", f"{LLM}.args.log_engine_metrics", 1, "true"),
    without("missing", f"{LLM}.import_path", "import_path: ..."),
    without("missing model_id", f"{LOADING}.model_id", "model_id: ..."),
    wrong("pattern", "applications[0].route_prefix", "x", "matches"),
    wrong("zero replicas", f"{GATEWAY}.num_replicas", 0, "at least 1"),
    wrong("threshold", f"{USER}.routing.threshold", 1.5, "at most 1"),
    wrong("fallback", f"{USER}.routing.fallback", "othr", "holds"),
    wrong(
        "environment variable that is no text",
        f"{LLM}.args.runtime_env.env_vars.OMP_NUM_THREADS",
        2,
        "quotes",
    ),
    wrong(
        "prepared model",
        f"{LOADING}.model_source",
        "modem://smollm-135m",
        "'smollm2-135m-instruct'",
    ),
    Case(
        "accelerator type",
        every(drop(f"{LLM}.args.accelerator_config"), put(f"{LLM}.args.accelerator_type", "H10O")),
        f"{LLM}.args.accelerator_type",
        "H10O",
        "'H100'",
    ),
    wrong("accelerator type on a CPU", f"{LLM}.args.accelerator_type", "H100", "holds"),
    wrong("topology of a CPU", f"{LLM}.args.accelerator_config.topology", "2x2", "holds"),
    wrong("metrics without stats", f"{ENGINE}.disable_log_stats", True, "holds"),
]

RULES = [
    Case("no front", drop("applications[0]"), "applications", ["expert-math", "expert-other"], "import_path"),
    Case(
        "two fronts",
        append("applications", {**builder.front(), "name": "again", "route_prefix": "/again"}),
        "applications[3]",
        "again",
        "Remove one",
    ),
    Case(
        "names twice",
        append("applications", {**builder.foreign(), "name": "modem"}),
        "applications[3].name",
        "modem",
        "Rename",
    ),
    Case(
        "routes twice",
        append("applications", {**builder.foreign(), "route_prefix": "/"}),
        "applications[3].route_prefix",
        "/",
        "another prefix",
    ),
    Case(
        "misspelt builder",
        append("applications", {**builder.foreign(), "import_path": "deployment.expert:build"}),
        "applications[3].import_path",
        "deployment.expert:build",
        "'deployments.expert:build'",
    ),
    Case(
        "builder of ours that is not there",
        append("applications", {**builder.foreign(), "import_path": "deployments.expert:App"}),
        "applications[3].import_path",
        "deployments.expert:App",
        "'deployments.expert:build'",
    ),
    wrong("front without route", "applications[0].route_prefix", None, "'/'"),
    wrong("front deployment", f"{ROUTER}.name", "Ruoter", "'Router'"),
    Case(
        "front deployment twice",
        append("applications[0].deployments", {"name": "Router"}),
        "applications[0].deployments[2].name",
        "Router",
        "Merge",
    ),
    Case(
        "no user_config",
        drop(f"{GATEWAY}.user_config"),
        "applications[0].deployments",
        ["Gateway", "Router"],
        "user_config",
    ),
    Case(
        "gateway scales",
        every(drop(f"{GATEWAY}.num_replicas"), put(f"{GATEWAY}.autoscaling_config", {"min_replicas": 0})),
        f"{GATEWAY}.autoscaling_config",
        {"min_replicas": 0},
        "fixed",
    ),
    wrong("gateway auto", f"{GATEWAY}.num_replicas", "auto", "fixed"),
    Case(
        "router sleeps",
        every(drop(f"{ROUTER}.num_replicas"), put(f"{ROUTER}.autoscaling_config", {"min_replicas": 0})),
        f"{ROUTER}.autoscaling_config.min_replicas",
        0,
        "1 or more",
    ),
    wrong("proxy gives up first", "http_options.request_timeout_s", 60, "900"),
    wrong("start timeout", f"{USER}.limits.start_timeout_s", 20, "60"),
    Case(
        "start timeout of a simulated expert",
        every(
            drop("applications[1]"),
            put("applications[1].args.startup_s", 301),
            put(f"{SIMULATED_SCALING}.min_replicas", 0),
        ),
        f"{USER}.limits.start_timeout_s",
        300,
        "301",
    ),
    Case(
        "fallback sleeps",
        put(f"{SIMULATED_DEPLOYMENT}.autoscaling_config.min_replicas", 0),
        f"{SIMULATED_DEPLOYMENT}.autoscaling_config.min_replicas",
        0,
        "1 or more",
    ),
    wrong("domain without expert", f"{USER}.domains.math.application", "expert-maths", "'expert-math'"),
    wrong("front as expert", f"{USER}.domains.math.application", "modem", "expert-math"),
    wrong("domain deployment", f"{USER}.domains.math.deployment", "expert", "'Expert'"),
    Case(
        "shared expert",
        put(f"{USER}.domains.more", {**builder.domain("expert-other", 4096)}),
        f"{USER}.domains.more.application",
        "expert-other",
        "of its own",
    ),
    Case(
        "unused expert",
        append("applications", {**builder.simulated(), "name": "expert-law"}),
        "applications[3].name",
        "expert-law",
        "Add a domain",
    ),
    wrong("model id", f"{LOADING}.model_id", "maths", "'math'"),
    wrong("simulated model id", f"{SIMULATED}.args.model_id", "misc", "'other'"),
    wrong("context length", f"{USER}.domains.math.context_length_tokens", 4096, "2048"),
    wrong("answer fills context", f"{USER}.domains.math.sampling.max_tokens", 2048, "less than 2048"),
    without("no shutdown time", f"{LLM_DEPLOYMENT}.graceful_shutdown_timeout_s", "600"),
    wrong("short shutdown", f"{LLM_DEPLOYMENT}.graceful_shutdown_timeout_s", 20, "600"),
    wrong("public expert", f"{LLM}.route_prefix", "/math", "route_prefix: null"),
    without("public by default", f"{LLM}.route_prefix", "route_prefix: null"),
    Case("no expert deployment", put(f"{LLM}.deployments", []), f"{LLM}.deployments", None, "name: Expert"),
    wrong("expert deployment", f"{LLM_DEPLOYMENT}.name", "LLMServer:math", "Expert"),
    without("no autoscaling", LLM_SCALING, "max_replicas"),
    wrong("null autoscaling", f"{SIMULATED_DEPLOYMENT}.autoscaling_config", None, "max_replicas"),
    without("no target", f"{LLM_SCALING}.target_ongoing_requests", "target_ongoing_requests"),
    Case(
        "no target, in the args",
        every(
            drop(LLM_SCALING),
            put(
                f"{LLM}.args.deployment_config",
                {"autoscaling_config": {"min_replicas": 1, "max_replicas": 2}},
            ),
        ),
        f"{LLM}.args.deployment_config.autoscaling_config.target_ongoing_requests",
        None,
        "target_ongoing_requests",
    ),
    Case(
        "autoscaling twice",
        put(f"{LLM}.args.deployment_config", {"autoscaling_config": {"max_replicas": 3}}),
        f"{LLM}.args.deployment_config.autoscaling_config",
        {"max_replicas": 3},
        "Remove it here",
    ),
    wrong("target above engine", f"{LLM_SCALING}.target_ongoing_requests", 9, "less than 8"),
    Case(
        "target above queue",
        put(f"{LLM_DEPLOYMENT}.max_ongoing_requests", 3),
        f"{LLM_SCALING}.target_ongoing_requests",
        4,
        "less than 3",
    ),
    Case(
        "target fills the queue",
        put(f"{LLM_DEPLOYMENT}.max_ongoing_requests", 4),
        f"{LLM_SCALING}.target_ongoing_requests",
        4,
        "less than 4",
    ),
    without("no ongoing limit", f"{LLM_DEPLOYMENT}.max_ongoing_requests", "8"),
    wrong("ongoing limit too high", f"{LLM_DEPLOYMENT}.max_ongoing_requests", 17, "16"),
    without("no queue limit", f"{LLM_DEPLOYMENT}.max_queued_requests", "may wait"),
    wrong("endless queue", f"{LLM_DEPLOYMENT}.max_queued_requests", -1, "may wait"),
    Case(
        "held back tokens",
        put(f"{LLM}.args.experimental_configs", {"stream_batching_interval_ms": 50}),
        f"{LLM}.args.experimental_configs.stream_batching_interval_ms",
        50,
        "0",
    ),
    wrong(
        "lost runtime_env", f"{LLM_DEPLOYMENT}.ray_actor_options", {"num_cpus": 1}, "args.deployment_config"
    ),
    wrong("engine number", f"{ENGINE}.tensor_parallel_size", "4", "whole number"),
    wrong("fixed and scaling", f"{LLM_DEPLOYMENT}.num_replicas", 1, "Remove one"),
    wrong("min above max", f"{LLM_SCALING}.min_replicas", 3, "2 or less"),
    wrong("initial outside", f"{LLM_SCALING}.initial_replicas", 3, "0 to 2"),
    Case(
        "short window",
        put(f"{LLM_SCALING}.metrics_interval_s", 3),
        f"{LLM_SCALING}.look_back_period_s",
        3,
        "more than 3",
    ),
    wrong("hasty scaling", f"{LLM_SCALING}.downscale_delay_s", 1, "3 or more"),
    wrong("hasty sleep", f"{LLM_SCALING}.downscale_to_zero_delay_s", 0, "3 or more"),
]


@pytest.mark.parametrize("case", [*UNKNOWN_KEYS, *WRONG_VALUES, *RULES], ids=lambda case: case.name)
def test_one_change_makes_one_problem_that_says_where_what_and_how(case: Case) -> None:
    found = [problem for problem in broken(case.change) if problem.path == case.path]
    assert len(found) == 1
    (problem,) = found
    assert problem.file == builder.FILE
    assert problem.value == case.value
    assert case.remedy in problem.remedy
    assert problem.message


@pytest.mark.parametrize("case", [*UNKNOWN_KEYS, *WRONG_VALUES], ids=lambda case: case.name)
def test_a_wrong_piece_makes_no_other_problem(case: Case) -> None:
    assert len(broken(case.change)) == 1


def test_a_valid_file_has_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(valid()))
    assert check_file(file) == []
    assert check_file(str(file)) == []


def test_every_rule_has_an_example() -> None:
    fired: set[object] = set()
    for case in RULES:
        config = valid()
        case.change(config)
        doc, _ = read(yaml.safe_dump(config), builder.FILE)
        assert doc is not None
        fired.update(rule for rule in (*front.RULES, *domains.RULES) if list(rule(doc)))
        for each in doc.experts():
            fired.update(rule for rule in expert.RULES if list(rule(doc, each)))
        for path, options in doc.deployments():
            fired.update(rule for rule in deployment.RULES if list(rule(doc, path, options)))
    assert fired == {*front.RULES, *domains.RULES, *expert.RULES, *deployment.RULES}


@pytest.mark.parametrize(
    "change",
    [
        append("applications", builder.foreign()),
        put("applications[0].import_path", "deployments.gateway.build"),
        every(drop(LLM_SCALING), put(f"{LLM_DEPLOYMENT}.num_replicas", 2)),
        every(
            drop(LLM_SCALING),
            put(f"{LLM}.args.deployment_config", {"autoscaling_config": builder.scaling()}),
        ),
        drop(f"{ENGINE}.max_model_len"),
        drop(f"{ENGINE}.max_num_seqs"),
        put(f"{LLM}.args.experimental_configs", {"stream_batching_interval_ms": 0}),
        put(f"{LLM}.args.deployment_config", {"ray_actor_options": {"num_cpus": 0.1}}),
        every(
            append("applications", {**builder.foreign(), "route_prefix": None}),
            put(f"{USER}.domains.law", {**builder.domain("company", 10_000), "deployment": "Any"}),
        ),
        every(put(f"{USER}.limits.start_timeout_s", 20), put(f"{LLM_SCALING}.min_replicas", 1),
              put(f"{LLM_SCALING}.initial_replicas", 1)),
        put("http_options.request_timeout_s", 900),
    ],
)  # fmt: skip
def test_what_is_allowed(change: Change) -> None:
    assert broken(change) == []


@pytest.mark.parametrize(
    ("path", "allowed", "refused"),
    [
        (f"{LLM_SCALING}.target_ongoing_requests", 8, 8.1),
        (f"{LLM_DEPLOYMENT}.max_ongoing_requests", 16, 17),
        (f"{LLM_DEPLOYMENT}.max_queued_requests", 1, 0),
        (f"{LLM_DEPLOYMENT}.graceful_shutdown_timeout_s", 600, 599.9),
        (f"{LLM_SCALING}.initial_replicas", 2, 3),
        (f"{LLM_SCALING}.look_back_period_s", 1.1, 1),
        (f"{LLM_SCALING}.downscale_delay_s", 3, 2.9),
        (f"{LLM_SCALING}.downscale_to_zero_delay_s", 3, 2.9),
        (f"{USER}.limits.start_timeout_s", 60, 59.9),
        (f"{USER}.limits.request_timeout_s", 600, 601),
        (f"{USER}.routing.threshold", 0, -0.1),
        (f"{USER}.domains.math.sampling.max_tokens", 2047, 2048),
        (f"{USER}.domains.math.sampling.temperature", 2, 2.1),
        ("http_options.request_timeout_s", 900, 899),
        (f"{ROUTER}.ray_actor_options.num_gpus", 0.1, -0.1),
        (f"{GATEWAY}.num_replicas", 1, 0),
        (f"{ENGINE}.tensor_parallel_size", 1, 0),
        (f"{SIMULATED}.args.failure_rate", 1, 1.1),
    ],
)
def test_each_bound_is_where_it_is_said_to_be(path: str, allowed: float, refused: float) -> None:
    assert broken(put(path, allowed)) == []
    assert broken(put(path, refused)) != []


def test_no_queue_and_an_endless_queue_are_told_apart_by_their_value() -> None:
    path = f"{SIMULATED_DEPLOYMENT}.max_queued_requests"
    assert broken(drop(path))[0].shown == "(not set)"
    assert broken(put(path, -1))[0].shown == "-1"


def test_rules_on_experts_hold_for_simulated_ones_too() -> None:
    change = every(
        put(f"{SIMULATED}.route_prefix", "/other"),
        put(f"{SIMULATED_DEPLOYMENT}.max_ongoing_requests", 100),
        put(f"{SIMULATED_DEPLOYMENT}.autoscaling_config.target_ongoing_requests", 50),
        put(f"{USER}.domains.other.context_length_tokens", 1000),
        drop(f"{SIMULATED_DEPLOYMENT}.graceful_shutdown_timeout_s"),
    )
    assert sorted(problem.path for problem in broken(change)) == [
        f"{USER}.domains.other.context_length_tokens",
        f"{SIMULATED_DEPLOYMENT}.autoscaling_config.target_ongoing_requests",
        f"{SIMULATED_DEPLOYMENT}.graceful_shutdown_timeout_s",
        f"{SIMULATED_DEPLOYMENT}.max_ongoing_requests",
        f"{SIMULATED}.route_prefix",
    ]


def test_a_simulated_expert_may_have_actor_options_and_a_short_start() -> None:
    change = every(
        drop("applications[1]"),
        drop(f"{USER}.domains.math"),
        put("applications[1].deployments[0].ray_actor_options", {"num_cpus": 0.1}),
        put(f"{USER}.limits.start_timeout_s", 5),
    )
    assert broken(change) == []


def test_a_renamed_application_is_reported_from_both_ends() -> None:
    found = {problem.path: problem for problem in broken(put(f"{LLM}.name", "expert-maths"))}
    assert set(found) == {f"{USER}.domains.math.application", f"{LLM}.name"}
    assert "'expert-maths'" in found[f"{USER}.domains.math.application"].remedy


def test_one_wrong_piece_hides_no_other() -> None:
    change = every(
        put("http_options.prt", 1),
        put(f"{LLM}.args.engin", 1),
        drop(f"{SIMULATED_DEPLOYMENT}.max_queued_requests"),
    )
    assert [problem.path for problem in broken(change)] == [
        "http_options.prt",
        f"{LLM}.args.engin",
        f"{SIMULATED_DEPLOYMENT}.max_queued_requests",
    ]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: [1", "line 1, column 6", "expected"),
        ("a: 1\n\tb: 2", "line 2, column 1", "cannot start any token"),
        ("proxy_location: HeadOnly\nproxy_location: EveryNode", "line 2, column 1", "twice"),
        ("on: 1", "line 1, column 1", "'on' is not a text"),
        ("? [a]\n: 1", "line 1, column 3", "not a text"),
        ("a: \x07", "(the whole file)", "Not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_place(text: str, path: str, message: str) -> None:
    doc, (problem,) = check_text(text, "f")
    assert doc is None
    assert problem.path == path
    assert message in problem.message
    assert problem.remedy.startswith("Mend the line")


@pytest.mark.parametrize("text", ["", "text", "[]", "{}", "applications: 3", "applications:"])
def test_a_file_without_applications_has_problems(text: str) -> None:
    doc, problems = check_text(text, "f")
    assert doc is None
    assert problems


def test_anchors_and_merges_are_read_as_yaml_reads_them() -> None:
    text = (
        yaml.safe_dump(valid()).replace("'2'", "&two '2'")
        + "logging_config: {<<: {encoding: JSON}, encoding: TEXT}\n"
    )
    assert check_text(text, "f")[1] == []


def test_a_date_is_no_text() -> None:
    (problem,) = check_text("http_options: {host: 2024-01-01}\napplications: []", "f")[1][:1]
    assert problem.path == "http_options.host"


def test_a_problem_prints_on_short_lines() -> None:
    (problem,) = broken(put(f"{ENGINE}.max_modl_len", "x" * 100))
    lines = str(problem).splitlines()
    assert lines[0] == f"serve.yaml: {ENGINE}.max_modl_len"
    assert lines[1].endswith("xxx...")
    assert lines[3] == "  remedy: Did you mean 'max_model_len'?"
    assert max(map(len, lines)) < 100

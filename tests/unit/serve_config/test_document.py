"""A file is read piece by piece: a wrong piece is missing, the others are there."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.config import ModemConfig, SimulatedExpertConfig
from modem.serve_config.check import check_text
from modem.serve_config.document import Document, Kind, builder_kind, read
from modem.serve_config.expert import ExpertArgs
from modem.serve_config.problems import Problem
from tests.unit.serve_config.builder import Change, append, drop, every, foreign, put, valid


def parsed(*changes: Change) -> tuple[Document, list[Problem]]:
    config = valid()
    every(*changes)(config)
    doc, problems = read(yaml.safe_dump(config, sort_keys=False), "f")
    assert doc is not None
    return doc, problems


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("deployments.gateway:build", "front"),
        ("deployments.gateway.build", "front"),
        ("deployments.expert:build", "llm"),
        ("deployments.simulated:build", "simulated"),
        ("deployments.expert:other", "foreign"),
        ("company.app:build", "foreign"),
        ("None", "foreign"),
        ("", "foreign"),
    ],
)
def test_the_builder_says_what_kind_an_application_is(path: str, kind: Kind) -> None:
    assert builder_kind(path) == kind


def test_a_valid_file_is_there_as_a_whole() -> None:
    doc, problems = parsed(append("applications", foreign()))
    assert problems == []
    assert doc.deploy is not None
    assert [application.kind for application in doc.applications] == ["front", "llm", "simulated", "foreign"]
    assert [type(application.args) for application in doc.applications] == [
        ModemConfig,
        ExpertArgs,
        SimulatedExpertConfig,
        type(None),
    ]
    assert doc.gateway is not None
    assert doc.gateway_path == ("applications", 0, "deployments", 0, "user_config")
    assert [path[1:] for path, _ in doc.deployments()] == [
        (0, "deployments", 0),
        (0, "deployments", 1),
        (1, "deployments", 0),
        (2, "deployments", 0),
    ]


def test_experts_show_what_rules_compare() -> None:
    doc, _ = parsed()
    llm, simulated = doc.experts()
    assert llm.model_id == (("applications", 1, "args", "model_loading_config", "model_id"), "math")
    assert simulated.model_id == (("applications", 2, "args", "model_id"), "other")
    assert (llm.engine_number("max_num_seqs"), simulated.engine_number("max_num_seqs")) == (8, 8)
    assert (llm.engine_number("max_model_len"), simulated.engine_number("max_model_len")) == (2048, 4096)
    assert llm.deployment is not None
    assert llm.deployment[0] == ("applications", 1, "deployments", 0)


def test_an_engine_number_that_is_no_number_is_none() -> None:
    doc, _ = parsed(put("applications[1].args.engine_kwargs.max_num_seqs", "8"))
    assert next(doc.experts()).engine_number("max_num_seqs") is None


def test_an_expert_without_its_deployment_has_none() -> None:
    doc, _ = parsed(put("applications[1].deployments[0].name", "Other"))
    assert next(doc.experts()).deployment is None


def test_a_wrong_top_hides_no_application() -> None:
    doc, problems = parsed(put("proxy_location", "Nowhere"))
    assert [problem.path for problem in problems] == ["proxy_location"]
    assert doc.deploy is None
    assert len(list(doc.experts())) == 2


def test_wrong_args_leave_the_entry() -> None:
    doc, problems = parsed(put("applications[1].args.engin", 1))
    assert [problem.path for problem in problems] == ["applications[1].args.engin"]
    assert doc.applications[1].args is None
    assert doc.applications[1].schema is not None
    assert [expert.application.name for expert in doc.experts()] == ["expert-other"]


def test_a_wrong_entry_keeps_its_name_so_that_its_domain_is_not_blamed() -> None:
    doc, problems = parsed(put("applications[1].rout_prefix", "/"))
    assert [problem.path for problem in problems] == ["applications[1].rout_prefix"]
    assert doc.applications[1].name == "expert-math"
    assert doc.applications[1].schema is None
    assert doc.applications[1].args is not None


def test_wrong_settings_of_the_gateway_are_none() -> None:
    doc, problems = parsed(put("applications[0].deployments[0].user_config.domains", {}))
    assert doc.gateway is None
    assert [problem.path for problem in problems] == ["applications[0].deployments[0].user_config.domains"]


@pytest.mark.parametrize(
    "change",
    [
        drop("applications[0].deployments[0].user_config"),
        put("applications[0].deployments", []),
        drop("applications[0]"),
    ],
)
def test_without_settings_there_is_no_gateway(change: Change) -> None:
    doc, problems = parsed(change)
    assert (doc.gateway, doc.gateway_path, problems) == (None, (), [])


@pytest.mark.parametrize("entry", [None, 1, "text", [], {}])
def test_an_entry_that_is_no_application_is_a_problem(entry: object) -> None:
    doc, problems = parsed(append("applications", entry))
    assert problems
    assert all(problem.path.startswith("applications[3]") for problem in problems)
    assert doc.applications[3].schema is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("applications: &a [*a]", "A value holds itself"),
        ("[" * 5000, "Too many levels"),
        ("a: 2026-13-01", "month must be in 1..12"),
    ],
)
def test_yaml_that_nobody_can_use_is_a_problem(text: str, says: str) -> None:
    doc, (problem,) = read(text, "f")
    assert doc is None
    assert says in problem.message
    assert problem.path == "(the whole file)"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(node: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for part, child in children for place in places(child, (*path, part)))]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(places(valid())), JSON)
def test_whatever_stands_anywhere_no_check_breaks(place: tuple[str | int, ...], value: object) -> None:
    config: Any = {"": valid()}
    node, last = config, ""
    for part in place:
        node, last = node[last], part  # type: ignore[assignment]
    node[last] = value
    _, problems = check_text(json.dumps(config[""]), "f")
    assert all(problem.path and problem.message and problem.remedy for problem in problems)
    assert all(str(problem) for problem in problems)


@pytest.mark.parametrize("place", [(), ("applications", 0)])
def test_a_key_beyond_the_basic_plane_written_in_escapes_is_named(place: tuple[str | int, ...]) -> None:
    config: Any = valid()
    node = config
    for part in place:
        node = node[part]
    node["\U00010000"] = 1
    (problem,) = check_text(json.dumps(config), "f")[1]  # two escapes, which YAML does not join
    assert problem.message == "There is no such key here."
    assert problem.path.endswith("\U00010000")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_whatever_the_text_no_check_breaks(text: str) -> None:
    assert check_text(text, "f")[1]

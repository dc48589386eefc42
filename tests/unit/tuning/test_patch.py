"""Writing settings into config files."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.serve_config.check import check_text
from modem.tuning.edit import remove_key, set_values
from modem.tuning.patch import Patch, patch
from modem.tuning.settings import Scalar, Settings
from tests.builders import expert, front, mixture

ROOT = Path(__file__).parents[3]
SHIPPED = (ROOT / "serve_config.yaml").read_text(encoding="utf-8")
TOKENS = Settings("token_load", {"min_replicas": 1}, {"hold_s": 300, "kv_utilization": 0.75})
PATIENT = {"graceful_shutdown_timeout_s": 600}


def small(autoscaling: Mapping[str, Any] | None = None) -> str:
    applications = [front(domains=("math", "other"), routing={"fallback": "other"})]
    applications += [expert(domain, PATIENT, autoscaling) for domain in ("math", "other")]
    # Through JSON: what stands twice is written twice, not as an alias.
    return yaml.safe_dump(json.loads(json.dumps(mixture(applications, port=8000))), sort_keys=False)


def scaling(text: str, application: str) -> dict[str, Any]:
    found = yaml.safe_load(text)["applications"]
    (entry,) = [each for each in found if each["name"] == application]
    (deployment,) = [each for each in entry["deployments"] if each["name"] == "Expert"]
    config: dict[str, Any] = deployment["autoscaling_config"]
    return config


def policy(text: str, application: str) -> Any:
    found = yaml.safe_load(text)["applications"]
    (entry,) = [each for each in found if each["name"] == application]
    return entry.get("autoscaling_policy")


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    return [x[2:] for x in lines if x[0] == "-"], [x[2:] for x in lines if x[0] == "+"]


def test_numbers_are_replaced_where_they_stand() -> None:
    found = patch(SHIPPED, "f", {"math": Settings("ongoing_requests", {"target_ongoing_requests": 12.5})})
    gone, new = changed_lines(SHIPPED, found.text)
    assert [line.strip() for line in gone] == ["target_ongoing_requests: 64"]
    assert [line.strip() for line in new] == ["target_ongoing_requests: 12.5"]
    (change,) = found.changes
    assert (change.application, change.key, change.before, change.after) == (
        "expert-math",
        "target_ongoing_requests",
        64.0,
        12.5,
    )
    assert not change.restarts


def test_a_policy_is_a_block_of_its_own_and_no_comment_is_lost() -> None:
    found = patch(SHIPPED, "f", {"math": TOKENS, "other": TOKENS})
    gone, new = changed_lines(SHIPPED, found.text)
    assert all("#" not in line for line in gone)
    assert sum("Chosen by `modem tune`" in line for line in new) == 2
    assert policy(found.text, "expert-other") == {
        "policy_function": "deployments.autoscaling:TokenLoad",
        "policy_kwargs": {"hold_s": 300, "kv_utilization": 0.75},
    }
    assert {change.key for change in found.changes if change.restarts} == {"autoscaling_policy"}
    assert check_text(found.text, "f")[1] == []


def test_what_is_right_already_is_left_alone() -> None:
    chosen = Settings("ongoing_requests", {"min_replicas": 0, "max_replicas": 2})
    assert patch(SHIPPED, "f", {"math": chosen}) == Patch(SHIPPED, ())


def test_the_initial_replicas_follow_the_least() -> None:
    found = patch(SHIPPED, "f", {"math": Settings("ongoing_requests", {"min_replicas": 2})})
    assert scaling(found.text, "expert-math")["initial_replicas"] == 2


def test_a_policy_that_stands_there_is_replaced() -> None:
    once = patch(SHIPPED, "f", {"math": TOKENS}).text
    text = patch(once, "f", {"math": Settings("slo", {}, {"ttft_s": 1.5})}).text
    assert policy(text, "expert-math") == {
        "policy_function": "deployments.autoscaling:Slo",
        "policy_kwargs": {"ttft_s": 1.5},
    }


def test_serves_own_policy_is_none_at_all() -> None:
    numbers = {"target_ongoing_requests": 20}
    once = patch(SHIPPED, "f", {"math": Settings("token_load", numbers, TOKENS.params)})
    back = patch(once.text, "f", {"math": Settings("ongoing_requests", {"target_ongoing_requests": 64})})
    assert back.text == SHIPPED
    gone = next(change for change in back.changes if change.restarts)
    assert gone.after is None


def test_a_policy_of_the_deployment_goes_to_the_application() -> None:
    own = {"policy_function": "deployments.autoscaling:Slo", "policy_kwargs": {"ttft_s": 2}}
    text = small({"policy": own})
    assert check_text(text, "f")[1] == []
    for chosen in (TOKENS, Settings("ongoing_requests")):
        found = patch(text, "f", {"math": chosen}).text
        assert "policy" not in scaling(found, "expert-math")
        assert (policy(found, "expert-math") is None) == (chosen.policy == "ongoing_requests")
        assert scaling(found, "expert-other") == scaling(text, "expert-other")


def test_flow_style_and_windows_line_ends_stay() -> None:
    wider = Settings("ongoing_requests", {"target_ongoing_requests": 3})
    text = small().replace("\n", "\r\n")
    found = patch(text, "f", {"math": TOKENS}).text
    assert "\r\n" in found
    assert "\n" not in found.replace("\r\n", "")
    flow = small()
    block = yaml.safe_dump(scaling(flow, "expert-math"), default_flow_style=True, width=1000).strip()
    start = flow.index("    autoscaling_config:\n", flow.index("name: expert-math"))
    end = flow.index("- name:", start)
    flow = f"{flow[:start]}    autoscaling_config: {block}\n{flow[end:]}"
    assert scaling(patch(flow, "f", {"math": wider}).text, "expert-math")["target_ongoing_requests"] == 3


def test_an_alias_is_refused_and_said_how_to_mend() -> None:
    text = small()
    first = text.index("autoscaling_config:")
    second = text.index("autoscaling_config:", first + 1)
    end = text.index("- name:", second) if "- name:" in text[second:] else len(text)
    aliased = text[:first] + "autoscaling_config: &same" + text[first + len("autoscaling_config:") : second]
    aliased += "autoscaling_config: *same\n" + text[end:]
    assert check_text(aliased, "f")[1] == []
    with pytest.raises(ConfigError, match=r"cannot be changed in place; write there by hand:\s+min_rep"):
        patch(aliased, "f", {"other": Settings("ongoing_requests", {"min_replicas": 2})})


def test_a_wrong_file_and_a_wrong_result_are_refused() -> None:
    with pytest.raises(ConfigError, match="applications"):
        patch("a: 1", "f", {})
    with pytest.raises(ConfigError, match="would be wrong"):
        patch(SHIPPED, "f", {"math": Settings("ongoing_requests", {"min_replicas": 3})})
    with pytest.raises(ConfigError, match="would be wrong"):
        patch(SHIPPED, "f", {"math": Settings("token_load", {}, {"kv": 1})})


numbers: st.SearchStrategy[Scalar] = st.one_of(
    st.integers(0, 10_000_000), st.floats(1e-6, 1e7, allow_nan=False).map(lambda x: float(f"{x:.3g}"))
)
TEXT = """\
# Why.
list:
  - name: a   # first
    scaling:
      # Before.
      low: 1   # kept
      policy:
        function: f
        kwargs: {x: 1}
      # After.
      high: 2
  - name: b
    scaling: {low: 1, high: 2}
# The end.
"""


@settings(max_examples=40)
@given(
    index=st.integers(0, 1),
    values=st.dictionaries(st.sampled_from(["low", "high", "new", "other"]), numbers, min_size=1),
    policy=st.none() | st.dictionaries(st.sampled_from("xyz"), numbers, min_size=1),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_what_is_read_and_nothing_else_moves(
    index: int, values: dict[str, Any], policy: dict[str, Any] | None, newline: str
) -> None:
    text = TEXT.replace("\n", newline)
    wanted = values if policy is None else {**values, "policy": {"function": "m:g", "kwargs": policy}}
    found = set_values(text, ("list", index, "scaling"), wanted, "f", "new")
    before, after = yaml.safe_load(text)["list"], yaml.safe_load(found)["list"]
    assert after[index]["scaling"] == {**before[index]["scaling"], **wanted}
    assert after[1 - index] == before[1 - index]
    for comment in ("# Why.", "# first", "# Before.", "# kept", "# After.", "# The end."):
        assert comment in found
    assert found.count("\r") == (found.count("\n") if newline == "\r\n" else 0)


def test_a_key_is_removed_with_its_lines() -> None:
    path = ("list", 0, "scaling")
    assert "policy" not in yaml.safe_load(remove_key(TEXT, path, "policy", "f", "new"))["list"][0]["scaling"]
    added = set_values(TEXT, path, {"more": 1}, "f", "new")
    assert "      # new\n      more: 1\n" in added
    assert remove_key(added, path, "more", "f", "new") == TEXT


def test_what_cannot_be_removed_is_said() -> None:
    with pytest.raises(ConfigError, match=r"f: list\[1\].scaling.low cannot be removed in place"):
        remove_key(TEXT, ("list", 1, "scaling"), "low", "f", "new")
    with pytest.raises(ConfigError, match="nothing cannot be removed"):
        remove_key(TEXT, ("list", 0, "scaling"), "nothing", "f", "new")

import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.evaluation.sets import (
    ADDED_DOMAIN_SET,
    COMMITTED,
    Case,
    EvaluationSet,
    by_name,
    committed,
    committed_sets,
    limited,
    prompt_case,
    read_held_out,
    read_set,
    read_sets,
)
from modem.routing.text import plain_routing_text
from tests.builders import DOMAINS
from tests.unit.evaluation.cases import keyword_set, write

CORPUS = Path(__file__).parents[3] / "training" / "corpus"
ALL = [*committed_sets(), committed(ADDED_DOMAIN_SET)]
MULTI_TURN = "multi_turn"


def user_turns(case: Case) -> list[str]:
    return [message["content"] for message in case.messages if message["role"] == "user"]


def normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold())) or text


def runs(text: str, length: int = 10) -> set[str]:
    words = normal(text).split()
    return {" ".join(words[start : start + length]) for start in range(len(words) - length + 1)}


def test_a_line_becomes_a_case_with_all_it_says(tmp_path: Path) -> None:
    row = {"prompt": "p", "domain": "math", "also": ["science"], "source": "s", "subject": "algebra"}
    file = write(tmp_path / "few.jsonl", [{**row, "kind": "hard", "group": 7, "answer": "ignored"}])
    found = read_set(file)
    assert found.name == "few"
    assert found.cases == (
        Case(
            ({"role": "user", "content": "p"},),
            "math",
            ("science",),
            "s",
            "algebra",
            "hard",
            "7",
            f"{file}:1",
        ),
    )
    assert found.cases[0].accepted == ("math", "science")


@given(
    prompts=st.lists(st.text(min_size=1), min_size=1, max_size=4),
    also=st.lists(st.sampled_from(DOMAINS[1:]), unique=True, max_size=2),
)
def test_whatever_is_written_is_read(prompts: list[str], also: list[str]) -> None:
    """Also what some take for the end of a line, such as U+2028."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [{"prompt": prompt, "domain": DOMAINS[0], "also": also} for prompt in prompts]
        file = Path(folder) / "any.jsonl"
        file.write_text(
            "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8", newline=""
        )
        found = read_set(file)
    assert [case.prompt for case in found.cases] == prompts
    assert {case.accepted for case in found.cases} == {(DOMAINS[0], *also)}


def test_messages_are_kept_as_they_are(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "sort a Java list"}, {"role": "assistant", "content": "b"}]
    messages.append({"role": "user", "content": "and in Python?"})
    (case,) = read_set(write(tmp_path / "m.jsonl", [{"messages": messages, "domain": "coding"}])).cases
    assert case.prompt == "and in Python?"
    assert case.routed().history == "sort a Java list"


def test_a_prompt_is_read_as_the_gateway_reads_it() -> None:
    assert prompt_case("Solve 2x = 4.", "math").routed() == plain_routing_text("Solve 2x = 4.")


def test_only_the_last_message_is_said_otherwise() -> None:
    case = Case(({"role": "system", "content": "s"}, {"role": "user", "content": "u"}), "math")
    changed = case.said(str.upper)
    assert [message["content"] for message in changed.messages] == ["s", "U"]
    assert case.prompt == "u"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":2: not JSON"),
        ("[]", ":2: expected an object"),
        ('{"prompt": "p"}', ":2: expected an object with prompt"),
        ('{"domain": "math"}', ":2: needs prompt"),
        ('{"domain": "math", "messages": []}', ":2: needs prompt"),
        ('{"domain": "math", "messages": ["hi"]}', ":2: needs prompt"),
        ('{"domain": "math", "prompt": "p", "also": "science"}', ":2: also must be a list"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prompt": "p", "domain": "math"}\n' + line + "\n")
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_set(file)


def test_what_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_set(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match=r"no \.jsonl files"):
        read_sets(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ConfigError, match="holds no cases"):
        read_sets(tmp_path)


def test_a_folder_is_its_files_and_those_for_validation(tmp_path: Path) -> None:
    for name in ("b", "a", "validation/c"):
        write(tmp_path / f"{name}.jsonl", [{"prompt": name, "domain": "math"}])
    assert [found.name for found in read_sets(tmp_path)] == ["a", "b", "c"]


def test_of_a_training_folder_only_what_is_held_out_is_measured(tmp_path: Path) -> None:
    from modem.training.data import read_prompts, split

    rows = [{"prompt": f"prompt number {i}", "domain": "math", "source": "s"} for i in range(200)]
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "validation" / "v.jsonl", rows[:2])
    held_out, validation = read_held_out([tmp_path])
    assert {case.prompt for case in held_out.cases} == {p.text for p in split(read_prompts(tmp_path))[1]}
    assert 5 < len(held_out.cases) < 40
    assert len(validation.cases) == 2


def test_a_limit_draws_the_same_cases_in_their_order() -> None:
    whole = keyword_set(per_domain=6)
    few = limited(whole, 7)
    assert len(few.cases) == 7
    assert few == limited(whole, 7)
    assert [case for case in whole.cases if case in few.cases] == list(few.cases)
    assert all(case in few.cases for case in limited(whole, 3).cases)
    assert limited(whole, None) is whole


def test_a_limit_draws_groups_together() -> None:
    few = limited(committed("paraphrase"), 40)
    assert set(Counter(case.group for case in few.cases).values()) == {4}


def test_two_sets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two sets are called 'drills'"):
        by_name([keyword_set(), keyword_set()])


def test_the_sets_are_there_and_of_their_size() -> None:
    sizes = {found.name: len(found.cases) for found in ALL}
    assert sizes == {
        "add_domain_law": 80,
        "chat": 300,
        "code_in_health": 80,
        "cross_domain": 100,
        "gate": 300,
        "jailbreak": 60,
        "multi_turn": 200,
        "paraphrase": 240,
        "questions": 1036,
        "retrieval": 60,
    }


@pytest.mark.parametrize("found", ALL, ids=lambda found: found.name)
def test_every_case_has_a_known_domain_and_something_to_read(found: EvaluationSet) -> None:
    known = {*DOMAINS, *(("law",) if found.name == ADDED_DOMAIN_SET else ())}
    for case in found.cases:
        assert set(case.accepted) <= known, case.where
        assert len(set(case.accepted)) == len(case.accepted), case.where
        assert case.prompt.strip(), case.where
        assert case.messages[-1]["role"] == "user", case.where
    assert {case.domain for case in found.cases} >= ({"health"} if found.name == "code_in_health" else known)


def test_no_two_cases_are_the_same() -> None:
    seen = Counter(normal(case.prompt) for found in ALL if found.name != MULTI_TURN for case in found.cases)
    assert [text for text, number in seen.items() if number > 1] == []
    conversations = Counter(str(case.messages) for case in committed(MULTI_TURN).cases)
    assert max(conversations.values()) == 1


def test_the_gate_is_balanced() -> None:
    assert set(Counter(case.domain for case in committed("gate").cases).values()) == {60}


def test_paraphrases_come_in_groups_of_one_domain() -> None:
    groups: dict[str, set[str]] = {}
    for case in committed("paraphrase").cases:
        groups.setdefault(case.group, set()).add(case.domain)
    assert len(groups) == 60
    assert all(len(domains) == 1 for domains in groups.values())


def test_conversations_are_of_all_kinds_and_have_a_history() -> None:
    cases = committed(MULTI_TURN).cases
    assert {case.kind for case in cases} == {"continue", "follow_up", "stay", "switch"}
    assert all(len(user_turns(case)) > 1 for case in cases)


def test_no_set_is_in_the_training_corpus() -> None:
    """Word for word, or with ten words in a row; what says nothing ("go on") may be in both."""
    texts = [turn for found in ALL for case in found.cases for turn in user_turns(case)]
    texts += json.loads((COMMITTED / "law_examples.json").read_text(encoding="utf-8"))["examples"]
    # The law set is measured with these examples, so they must not be of it.
    assert not {normal(text) for text in texts[-12:]} & {normal(text) for text in texts[:-12]}
    whole = {normal(text) for text in texts if len(normal(text).split()) > 2}
    parts = {run for text in texts for run in runs(text)}
    learnt = [json.loads(line)["prompt"] for file in CORPUS.glob("*.jsonl") for line in file.open()]
    assert len(learnt) > 1000
    assert [text for text in learnt if normal(text) in whole or runs(text) & parts] == []


def test_wheels_hold_the_sets() -> None:
    """Hatch takes every file of a package that git does not ignore, and git ignores none of these."""
    import subprocess

    files = [str(file) for file in COMMITTED.parent.rglob("*.json*")]
    assert len(files) > 9
    done = subprocess.run(
        ["git", "check-ignore", *files], capture_output=True, text=True, cwd=COMMITTED.parent, check=False
    )
    assert done.stdout == ""


def test_the_readme_describes_every_set_and_its_size() -> None:
    lines = (COMMITTED / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|") for line in lines if line.startswith("| `")]
    described = {row[1].strip(" `"): int(re.findall(r"\d+", row[2])[0]) for row in rows}
    assert described == {found.name: len(found.cases) for found in ALL}


def test_the_fields_are_those_that_are_read() -> None:
    known = {"prompt", "messages", "domain", "source", "also", "kind", "group"}
    rows = [json.loads(line) for file in COMMITTED.glob("*.jsonl") for line in file.open(encoding="utf-8")]
    assert {key for row in rows for key in row} == known


def test_second_domains_are_named_where_two_are_right() -> None:
    assert all(len(case.accepted) == 2 for case in committed("cross_domain").cases)
    assert all(len(case.accepted) == 1 for case in committed("gate").cases)


def test_retrieved_passages_are_long_and_come_with_a_question() -> None:
    cases = committed("retrieval").cases
    assert min(len(case.prompt) for case in cases) > 300
    shorter = [case for case in cases if len(case.routed().text) < len(case.prompt)]
    assert len(shorter) > len(cases) / 2

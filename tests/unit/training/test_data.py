from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.training.data import (
    Prompt,
    counts,
    declared,
    fair_shares,
    read_apart,
    read_prompts,
    sample,
    split,
)
from modem.training.sources import Sources
from tests.unit.training.prompts import write

GOOD = '{"prompt": "2 + 2?", "domain": "math", "source": "drills", "choices": ["4", "5"]}'


def prompts(domain: str, source: str, number: int) -> list[Prompt]:
    return [Prompt(f"{source} {domain} {i}", domain, source, f"f:{i}") for i in range(number)]


def declaration(**domains: list[str]) -> Sources:
    shared = {"home": "h", "licence": "MIT"}
    return Sources.model_validate(
        {
            "sources": [
                {"name": name.removeprefix("no_"), "domains": d, "use": not name.startswith("no_"), **shared}
                for name, d in domains.items()
            ]
        }
    )


def test_a_file_is_read_with_its_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f"{GOOD}\n\n{GOOD}\n")
    assert read_prompts(file) == [
        Prompt("2 + 2?", "math", "drills", f"{file}:1", ("4", "5")),
        Prompt("2 + 2?", "math", "drills", f"{file}:3", ("4", "5")),
    ]


def test_a_folder_is_read_without_its_sub_folders(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", [("b", "math", "s")])
    write(tmp_path / "a.jsonl", [("a", "math", "s")])
    write(tmp_path / "validation" / "c.jsonl", [("c", "math", "s")])
    (tmp_path / "README.md").write_text("not data")
    assert [prompt.text for prompt in read_prompts(tmp_path)] == ["a", "b"]


def test_a_line_separator_inside_a_prompt_does_not_end_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(GOOD.replace("2 + 2?", "one\u2028two"), encoding="utf-8")
    assert read_prompts(file)[0].text == "one\u2028two"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"domain": "math", "source": "s"}', "prompt must be a string"),
        ('{"prompt": "", "domain": "math", "source": "s"}', "prompt must be a string that is not empty"),
        ('{"prompt": "p", "domain": 3, "source": "s"}', "domain must be a string"),
        ('{"prompt": "p", "domain": "math"}', "source must be a string"),
        (GOOD.replace('["4", "5"]', '"4"'), "choices must be a list of strings"),
        (GOOD.replace('"5"', "5"), "choices must be a list of strings"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_prompts(file)
    assert str(caught.value).startswith(f"{file}:2: ")


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no prompts"):
        read_prompts(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_prompts(tmp_path / "none.jsonl")


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"a\.jsonl: not UTF-8"):
        read_prompts(tmp_path)


def test_a_set_that_is_kept_apart_may_hold_conversations(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(
        '{"prompt": "hi", "domain": "other"}\n'
        '{"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "a?"}, '
        '{"role": "assistant", "content": "b"}, {"role": "user", "content": "c?"}], "domain": "math"}\n'
        '{"messages": []}\n'
    )
    found = read_apart(file)
    assert [(p.text, p.domain, p.source, p.where) for p in found] == [
        ("hi", "other", "chat", f"{file}:1"),
        ("a?", "math", "chat", f"{file}:2"),
        ("c?", "math", "chat", f"{file}:2"),
    ]


def test_a_set_without_prompts_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text('{"text": "hi"}\n')
    with pytest.raises(ConfigError, match=r"chat\.jsonl:1: expected a string prompt, or messages"):
        read_apart(file)


def test_a_prompt_that_a_router_would_not_read_is_read_as_it_is() -> None:
    assert Prompt("continue", "other", "s", "f:1").routed() == "continue"


def test_a_prompt_is_read_as_it_would_be_in_service() -> None:
    assert Prompt("  hi \n", "other", "s", "f:1").routed() == "hi"


def test_only_sources_for_use_are_kept() -> None:
    found = declared(
        [*prompts("math", "open", 2), *prompts("math", "closed", 2)],
        declaration(open=["math"], no_closed=["math"]),
    )
    assert {prompt.source for prompt in found} == {"open"}


def test_a_source_nobody_declared_stops_the_training() -> None:
    with pytest.raises(ConfigError, match="f:0: source 'stray' is not declared"):
        declared(prompts("math", "stray", 1), declaration(open=["math"]))


def test_a_domain_the_source_was_not_declared_for_stops_the_training() -> None:
    with pytest.raises(ConfigError, match="f:0: open is declared for math, not for 'law'"):
        declared(prompts("law", "open", 1), declaration(open=["math"]))


def test_caps_hold_and_small_sources_are_used_up() -> None:
    found = sample(
        [*prompts("math", "big", 100), *prompts("math", "mid", 30), *prompts("math", "small", 5)], 45, 25, 0
    )
    assert Counter(prompt.source for prompt in found) == {"big": 20, "mid": 20, "small": 5}


def test_a_source_taken_whole_has_no_cap() -> None:
    both = [*prompts("math", "own", 50), *prompts("math", "theirs", 50)]
    assert Counter(p.source for p in sample(both, 100, 10, 0, whole={"own"})) == {"own": 50, "theirs": 10}
    assert Counter(p.source for p in sample(both, 55, 10, 0, whole={"own"})) == {"own": 50, "theirs": 5}
    assert Counter(p.source for p in sample(both, 30, 10, 0, whole={"own"})) == {"own": 50}


def test_repeats_count_once_whatever_their_case_and_spacing() -> None:
    twice = [Prompt("What  is pi?", "math", "a", "f:1"), Prompt("what is PI?", "other", "b", "f:2")]
    assert sample(twice, 10, 10, 0) == [twice[0]]
    assert sample(reversed(twice), 10, 10, 0) == [twice[0]]


def test_the_sample_depends_on_the_seed_but_not_on_the_order() -> None:
    found = prompts("math", "s", 200)
    assert sample(found, 50, 50, 1) == sample(list(reversed(found)), 50, 50, 1)
    assert set(sample(found, 50, 50, 1)) != set(sample(found, 50, 50, 2))


def test_a_tenth_is_held_out_and_stays_so() -> None:
    found = prompts("math", "s", 2000)
    training, held_out = split(found)
    assert 150 < len(held_out) < 250
    assert sorted(map(id, training + held_out)) == sorted(map(id, found))
    assert split(found[:500])[1] == [prompt for prompt in held_out if prompt in found[:500]]


def test_counts_are_per_domain_and_source() -> None:
    found = [*prompts("other", "b", 1), *prompts("math", "b", 2), *prompts("math", "a", 3)]
    assert list(counts(found).items()) == [(("math", "a"), 3), (("math", "b"), 2), (("other", "b"), 1)]


SIZES = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 1000), max_size=8)


@given(SIZES, st.integers(0, 5000))
def test_fair_shares_use_all_there_is_and_no_more(sizes: dict[str, int], total: int) -> None:
    shares = fair_shares(sizes, total)
    assert shares.keys() == sizes.keys()
    assert all(0 <= shares[name] <= size for name, size in sizes.items())
    assert sum(shares.values()) == min(total, sum(sizes.values()))


@given(SIZES, st.integers(0, 5000))
def test_whoever_gets_less_than_another_had_no_more(sizes: dict[str, int], total: int) -> None:
    shares = fair_shares(sizes, total)
    for name, share in shares.items():
        if share < max(shares.values()) - 1:  # one more or less is left over by the division
            assert share == sizes[name]

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.errors import ConfigError
from modem.load.prompts import deal, read_prompts

DOMAINS = {"math", "health", "science", "coding", "other"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_own_prompts_are_many_and_various() -> None:
    prompts = read_prompts(None)
    assert set(prompts) == DOMAINS
    for texts in prompts.values():
        lengths = np.array([len(text.split()) for text in texts])
        assert len(texts) >= 60
        assert len(set(texts)) == len(texts)
        assert lengths.min() <= 8
        assert lengths.max() >= 100
    everything = [text for texts in prompts.values() for text in texts]
    assert len(set(everything)) == len(everything)


def test_no_own_prompt_is_one_that_the_router_was_trained_on() -> None:
    corpus = Path(__file__).parents[3] / "training" / "corpus"
    known = {
        json.loads(line)["prompt"].casefold().strip()
        for file in corpus.glob("*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    }
    assert len(known) > 1000
    mine = {text.casefold().strip() for texts in read_prompts(None).values() for text in texts}
    assert not mine & known


def test_a_file_names_the_domain_of_each_line(tmp_path: Path) -> None:
    file = write(
        tmp_path / "all.jsonl",
        {"prompt": "2+2?", "domain": "math", "source": "mine"},
        {"text": "A rash?", "domain": "health"},
        {"prompt": "3+3?", "domain": "math"},
    )
    assert read_prompts(str(file)) == {"math": ("2+2?", "3+3?"), "health": ("A rash?",)}


def test_in_a_folder_files_name_the_domain_where_lines_do_not(tmp_path: Path) -> None:
    write(tmp_path / "law.jsonl", {"prompt": "May he?"}, {"prompt": "2+2?", "domain": "math"})
    write(tmp_path / "math.jsonl", {"prompt": "3+3?"})
    assert read_prompts(str(tmp_path)) == {"law": ("May he?",), "math": ("2+2?", "3+3?")}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no prompt in it; write lines with prompt"),
        ([{"prompt": "a", "domain": "math"}, {"domain": "math"}], r"all\.jsonl:2: no text in prompt"),
        ([{"prompt": "  ", "domain": "math"}], r"all\.jsonl:1: no text in prompt"),
        ([{"prompt": ["a"], "domain": "math"}], r"all\.jsonl:1: no text in prompt"),
        ([{"prompt": "a"}], r"all\.jsonl:1: domain is None: write the name"),
        ([{"prompt": "a", "domain": 3}], r"all\.jsonl:1: domain is 3: write the name"),
        (["a"], r"all\.jsonl:1: expected an object with prompt \(or text\) and domain"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_line(
    tmp_path: Path, rows: list[object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_prompts(str(write(tmp_path / "all.jsonl", *rows)))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: cannot be read"):
        read_prompts(str(tmp_path / "none.jsonl"))


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no prompt in it"):
        read_prompts(str(tmp_path))


@given(
    st.lists(st.integers(0, 2), max_size=200),
    st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30)),
    st.integers(0, 2**32),
)
def test_prompts_come_again_as_late_as_can_be(
    asked: list[int], numbers: tuple[int, int, int], seed: int
) -> None:
    domains = np.array(asked, dtype=np.int64)
    dealt = deal(domains, np.array(numbers), np.random.default_rng(seed))
    for domain, number in enumerate(numbers):
        mine = dealt[domains == domain]
        assert ((mine >= 0) & (mine < number)).all()
        for start in range(0, len(mine), number):
            deck = mine[start : start + number]
            assert len(set(deck)) == len(deck)
        if len(mine):
            times = Counter(mine.tolist())
            assert max(times.values()) - min(times.get(text, 0) for text in range(number)) <= 1


def test_each_deck_has_its_own_order() -> None:
    dealt = deal(np.zeros(120, np.int64), np.array([60]), np.random.default_rng(1))
    assert dealt[:60].tolist() != dealt[60:].tolist()

from pathlib import Path

import pytest

import modem
from modem.errors import ConfigError
from modem.training.data import declared, read_prompts
from modem.training.sources import read_sources

DECLARATION = Path(modem.__path__[0]).parent / "training" / "sources.yaml"
ENTRY = "{name: a, domains: [math], home: h, licence: MIT, use: true}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sources.yaml"


def test_a_declaration_is_read_in_order(file: Path) -> None:
    file.write_text(f"sources:\n- {ENTRY}\n- {ENTRY.replace('name: a', 'name: b')}\n")
    assert list(read_sources(file).by_name()) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sources: [", "not YAML"),
        ("", "Input should be"),
        ("sources: []", "sources: "),
        (f"sources: [{ENTRY.replace('licence: MIT, ', '')}]", r"sources\.0\.licence: Field required"),
        (f"sources: [{ENTRY.replace('use: true', 'uze: true')}]", r"sources\.0\.use: Field required"),
        (f"sources: [{ENTRY.replace('math', 'Maths!')}]", r"sources\.0\.domains\.0"),
        (f"sources: [{ENTRY}, {ENTRY}]", "declared more than once: a"),
    ],
)
def test_a_wrong_declaration_says_where(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_sources(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_missing_declaration_is_an_error(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_sources(file)


def test_the_committed_declaration_uses_nothing_with_terms_that_forbid_it() -> None:
    used = [source for source in read_sources(DECLARATION).sources if source.use]
    assert len(used) > 10
    for source in used:
        doubtful = ("NC", "GPL", "not stated", "not clear", "mixed", "differs", "repository")
        assert not any(word in source.licence for word in doubtful), source.name


def test_the_committed_corpus_fits_its_declaration() -> None:
    sources = read_sources(DECLARATION)
    own = [source for source in sources.sources if source.path is not None]
    prompts = read_prompts(DECLARATION.parent / "corpus")
    assert declared(prompts, sources) == prompts
    assert {prompt.source for prompt in prompts} == {source.name for source in own}
    assert {prompt.domain for prompt in prompts} == {"math", "health", "science", "coding", "other"}


def test_the_committed_corpus_has_no_prompt_twice() -> None:
    texts = [" ".join(p.text.casefold().split()) for p in read_prompts(DECLARATION.parent / "corpus")]
    assert len(texts) == len(set(texts))

from pathlib import Path

import pytest

import modem
from modem.errors import ConfigError
from modem.training.data import declared, read_prompts
from modem.training.sources import read_sources

DECLARATION = Path(modem.__path__[0]).parent / "training" / "sources.yaml"
ENTRY = "{name: a, domains: [math], home: h, licence: MIT, use: true}"


def on_hub(settings: str) -> str:
    return f"sources: [{ENTRY[:-1]}, hub: {{{settings}}}}}]"


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
        (f"sources: [{ENTRY}]\nvalidation: [{ENTRY}]", "declared more than once: a"),
        (on_hub("id: o/n, prompt_field: q"), r"sources\.0\.hub: .*give a domain, or a domain_field"),
        (on_hub("id: o/n, prompt_field: q, domain_field: f"), "domain_field and domain_map go together"),
        (on_hub("id: o/n, prompt_field: q, domain: math, domain_map: {a: math}"), "go together"),
        (on_hub("id: o/n, prompt_field: q, domain: math, skip_field: f"), "skip_field and skip_prefix"),
        (on_hub("id: o/n, domain: math"), r"sources\.0\.hub\.prompt_field: Field required"),
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


def test_the_committed_declaration_pins_what_it_loads_and_keeps_mmlu_apart() -> None:
    sources = read_sources(DECLARATION)
    on_the_hub = [source for source in sources.sources if source.hub]
    assert len(on_the_hub) > 10
    pinned = [source.name for source in on_the_hub if source.hub and source.hub.revision]
    assert set(pinned) >= {source.name for source in on_the_hub} - {"counsel_chat", "spider_dev"}
    for source in on_the_hub:
        assert source.hub
        assert {source.hub.domain, *source.hub.domain_map.values()} - {None} <= set(source.domains)
        assert source.hub.id != "cais/mmlu"
    assert not any(source.use for source in (*sources.validation, *sources.evaluation))
    assert {source.name for source in sources.validation} == {"mmlu_dev", "truthfulqa"}

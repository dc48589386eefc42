import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from modem.config import GatewayConfig, RouterConfig
from modem.errors import ConfigError
from modem.routing.cache import Cached
from modem.routing.compact import CompactRouter
from modem.routing.linear import LinearHead
from modem.routing.load import SHIPPED_HEAD, SHIPPED_ROUTER, head_path, load_router, model_path
from modem.routing.policy import Heard, decide
from modem.types import DomainScores, RouterIdentity
from tests.builders import gateway_config
from tests.compact import write_compact_router
from tests.unit.routing.minilm import head_for, minilm_sha256


class ConstantRouter:
    identity = RouterIdentity("constant", "1")

    def __init__(self, domain: str, confidence: float = 1.0) -> None:
        self.domains = (domain, "rest")
        self._scores = DomainScores({domain: confidence, "rest": 1 - confidence})

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        return [self._scores for _ in texts]


def no_router() -> object:
    return object()


NOT_CALLABLE = 3
FRENCH = "Pouvez-vous m'expliquer pourquoi le ciel est bleu, s'il vous plaît ?"
HERE = "tests.unit.routing.test_load_router"


def custom(import_path: str, **options: object) -> RouterConfig:
    return RouterConfig(kind="custom", import_path=import_path, options=options)


def test_a_custom_router_gets_its_options() -> None:
    router = load_router(custom(f"{HERE}:ConstantRouter", domain="law", confidence=0.9))
    assert router.score(["x"])[0].scores["law"] == 0.9


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (custom("no-colon"), "module:callable"),
        (custom(":nothing"), "module:callable"),
        (custom("nothing:"), "module:callable"),
        (custom("no_such_module_at_all:f"), "cannot import"),
        (custom(f"{HERE}:missing"), "cannot import"),
        (custom(f"{HERE}:NOT_CALLABLE"), "not callable"),
        (custom(f"{HERE}:ConstantRouter"), "missing a required argument: 'domain'"),
        (custom(f"{HERE}:ConstantRouter", domain="a", colour="red"), "unexpected keyword argument 'colour'"),
        (custom(f"{HERE}:no_router"), "returned a object without identity, domains, score"),
    ],
)
def test_a_custom_router_that_does_not_fit_says_why(config: RouterConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_router(config)


def test_a_custom_router_says_itself_what_it_was_made_for() -> None:
    # It may read languages that the others do not.
    router = load_router(custom(f"{HERE}:ConstantRouter", domain="law"))
    assert router.score([FRENCH])[0].unfamiliar == ""


def test_a_compact_router_is_loaded_from_its_folder(tmp_path: Path) -> None:
    folder = write_compact_router(tmp_path, domains=("law", "music"))
    router = load_router(RouterConfig(kind="compact", model=str(folder)))
    assert router.domains == ("law", "music")
    found = router.score(["why is the law", FRENCH])
    assert [scores.unfamiliar for scores in found] == ["", "language"]
    assert found[0].scores == CompactRouter(folder).score(["why is the law"])[0].scores
    assert hasattr(router, "embed")


@pytest.mark.parametrize("num_threads", [None, 1, 3])
def test_a_compact_router_takes_a_thread_for_each_core_it_may_use(
    tmp_path: Path, num_threads: int | None
) -> None:
    before = threading.active_count()
    config = RouterConfig(kind="compact", model=str(write_compact_router(tmp_path)), num_threads=num_threads)
    router = load_router(config)
    router.score(["why"] * 12)
    assert threading.active_count() - before == (3 if num_threads == 3 else 0)


def test_a_cache_is_built_only_where_it_is_asked_for(tmp_path: Path) -> None:
    config = RouterConfig(kind="compact", model=str(write_compact_router(tmp_path)))
    assert not isinstance(load_router(config), Cached)
    router = load_router(config.model_copy(update={"cache_size": 2}))
    assert isinstance(router, Cached)
    assert router.score(["why", FRENCH]) == load_router(config).score(["why", FRENCH])
    assert hasattr(router, "embed")


def test_an_encoder_that_was_not_trained_yet_says_how_to(tmp_path: Path) -> None:
    config = RouterConfig(kind="encoder", model=str(tmp_path / "deberta"))
    with pytest.raises(ConfigError, match=r"deberta.*modem router train --config training/deberta-v3-large"):
        load_router(config)


def test_a_missing_compact_router_says_how_to_train_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"modem router train --config training/compact\.yaml"):
        load_router(RouterConfig(kind="compact", model=str(tmp_path / "none")))


def test_the_places_of_models() -> None:
    assert model_path("~/deberta") == Path.home() / "deberta"
    assert model_path("shipped") == SHIPPED_ROUTER
    assert SHIPPED_ROUTER.is_relative_to(Path(sys.modules["modem"].__path__[0]))


def test_a_trained_head_is_loaded_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    head_for({"math": "solve for x", "law": "sue my landlord"}).save(file)
    router = load_router(RouterConfig(kind="linear", head=str(file)))
    assert router.domains == ("math", "law")
    assert router.score(["can I sue my landlord?"])[0].top()[0] == "law"


def test_a_missing_head_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="modem router train"):
        load_router(RouterConfig(kind="linear", head=str(tmp_path / "none.safetensors")))


def test_a_home_folder_is_expanded() -> None:
    assert head_path("~/head.safetensors") == Path.home() / "head.safetensors"


def test_the_shipped_head_is_in_the_package_and_fits_the_package_encoder() -> None:
    assert SHIPPED_HEAD.is_relative_to(Path(sys.modules["modem"].__path__[0]))
    head = LinearHead.load(SHIPPED_HEAD)
    assert set(head.domains) == {"math", "health", "science", "coding", "other"}
    assert head.encoder_sha256 == minilm_sha256()


def test_the_shipped_card_is_about_the_shipped_head() -> None:
    head = LinearHead.load(SHIPPED_HEAD)
    card = SHIPPED_HEAD.with_name("README.md").read_text(encoding="utf-8")
    assert f"`{head.name}` {head.version}" in card


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("What is the integral of x^2?", "math"),
        ("Prove that the square root of 2 is irrational.", "math"),
        ("Write a Python function to reverse a string", "coding"),
        ("why does my code not compile", "coding"),
        ("What are the symptoms of flu?", "health"),
        ("My knee hurts when I run", "health"),
        ("Why is the sky blue?", "science"),
        ("Can you explain photosynthesis?", "science"),
        ("Who won the 1998 World Cup?", "other"),
        ("Is it illegal to jaywalk?", "other"),
        ("hi", "other"),
        ("", "other"),
    ],
)
def test_the_shipped_router_sends_plain_prompts_where_they_belong(text: str, domain: str) -> None:
    gateway = GatewayConfig.model_validate(gateway_config())
    assert decide(Heard(shipped_scores(text)), gateway).domain == domain


def shipped_scores(text: str) -> DomainScores:
    from modem.routing.linear import LinearRouter
    from tests.unit.routing.minilm import minilm

    return LinearRouter(minilm(), LinearHead.load(SHIPPED_HEAD)).score([text])[0]

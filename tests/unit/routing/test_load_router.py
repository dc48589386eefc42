import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from modem.config import GatewayConfig, RouterConfig
from modem.errors import ConfigError
from modem.routing.linear import LinearHead
from modem.routing.load import SHIPPED_HEAD, head_path, load_router
from modem.routing.policy import decide
from modem.types import DomainScores, RouterIdentity
from tests.builders import gateway_config
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


def test_a_trained_head_is_loaded_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    head_for({"math": "solve for x", "law": "sue my landlord"}).save(file)
    router = load_router(RouterConfig(head=str(file)))
    assert router.domains == ("math", "law")
    assert router.score(["can I sue my landlord?"])[0].top()[0] == "law"


def test_a_missing_head_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="modem router train"):
        load_router(RouterConfig(head=str(tmp_path / "none.safetensors")))


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
    assert decide(shipped_scores(text), gateway).domain == domain


def shipped_scores(text: str) -> DomainScores:
    from modem.routing.linear import LinearRouter
    from tests.unit.routing.minilm import minilm

    return LinearRouter(minilm(), LinearHead.load(SHIPPED_HEAD)).score([text])[0]

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.config import RouterConfig
from modem.errors import ConfigError
from modem.routing.load import load_router
from modem.routing.strategies import majority
from modem.routing.strategies.catalogue import IMPORT_PATHS
from modem.routing.strategies.ensemble import EnsembleRouter
from modem.types import DomainScores, RouterIdentity
from tests.builders import DOMAINS
from tests.routers import KeywordRouter


class Fixed:
    domains = ("math", "other")

    def __init__(self, math: float, unfamiliar: str = "") -> None:
        self.identity = RouterIdentity("fixed", str(math))
        self._scores = DomainScores({"other": 1 - math, "math": math}, unfamiliar)

    def score(self, texts: Sequence[str]) -> list[DomainScores]:
        return [self._scores for _ in texts]


SHARES = st.floats(0, 1)
WEIGHTS = st.floats(0.01, 100)


@given(st.lists(st.tuples(SHARES, WEIGHTS), min_size=1, max_size=4))
def test_the_mean_is_weighted(members: list[tuple[float, float]]) -> None:
    router = EnsembleRouter([Fixed(share) for share, _ in members], [weight for _, weight in members])
    expected = sum(s * w for s, w in members) / sum(w for _, w in members)
    for scores in router.score(["a", "b"]):
        assert scores.scores["math"] == pytest.approx(expected)
        assert sum(scores.scores.values()) == pytest.approx(1)


def test_no_text_is_no_score() -> None:
    assert EnsembleRouter([Fixed(0.5)], [1]).score([]) == []


def test_what_one_member_finds_unfamiliar_is() -> None:
    (scores,) = EnsembleRouter([Fixed(0.2), Fixed(0.4, "language")], [1, 1]).score(["x"])
    assert scores.unfamiliar == "language"
    assert EnsembleRouter([Fixed(0.2)], [1]).score(["x"])[0].unfamiliar == ""


def test_the_identity_names_members_and_shares() -> None:
    identity = EnsembleRouter([Fixed(0.2), Fixed(0.4)], [3, 1]).identity
    assert (identity.name, identity.version) == ("ensemble", "0.75*fixed-0.2+0.25*fixed-0.4")


def test_members_must_fit() -> None:
    for members, weights in (([], []), ([Fixed(0.1)], [1, 2]), ([Fixed(0.1)], [0.0])):
        with pytest.raises(ConfigError, match="a weight above 0 for each"):
            EnsembleRouter(members, weights)
    with pytest.raises(ConfigError, match="they must know the same"):
        EnsembleRouter([Fixed(0.1), KeywordRouter()], [1, 1])


def test_it_is_built_from_configuration(tmp_path: Path) -> None:
    majority.fit(["x"] * 5, DOMAINS).save(tmp_path)
    members = [
        {"kind": "custom", "import_path": "tests.routers:keyword", "weight": 3},
        {
            "kind": "custom",
            "import_path": IMPORT_PATHS["majority"],
            "options": {"folder": str(tmp_path)},
        },
    ]
    config = RouterConfig(kind="custom", import_path=IMPORT_PATHS["ensemble"], options={"members": members})
    (scores,) = load_router(config).score(["some math"])
    assert scores.top()[0] == "math"
    assert scores.scores["math"] == pytest.approx(0.75 * 0.9 + 0.25 * 0.2)


def test_a_wrong_member_is_named() -> None:
    config = RouterConfig(
        kind="custom", import_path=IMPORT_PATHS["ensemble"], options={"members": [{"kind": "tree"}]}
    )
    with pytest.raises(ConfigError, match=r"ensemble: members\.0\.kind"):
        load_router(config)

from typing import Any

import pytest
from pydantic import ValidationError

from modem.config import DEFAULT_ROUTER_KIND, RouterConfig

CHECKPOINT = {"kind": "encoder", "model": "/models/deberta"}
CUSTOM = {"kind": "custom", "import_path": "mine:router"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kind": "compact"},
        {"kind": "compact", "model": "/models/mine", "num_threads": 2, "cache_size": 1000},
        CHECKPOINT,
        {**CHECKPOINT, "num_threads": 8, "max_batch_tokens": 16384},
        {"kind": "linear", "head": "mine.safetensors", "encoder": "./minilm", "max_batch_size": 8},
        {**CUSTOM, "options": {"path": "x"}, "cache_size": 5, "batch_wait_timeout_s": 0.01},
    ],
)
def test_what_goes_together_is_taken(settings: dict[str, Any]) -> None:
    found = RouterConfig.model_validate(settings)
    assert found.model_dump(include=set(settings)) == settings
    assert found.kind == settings.get("kind", DEFAULT_ROUTER_KIND)


@pytest.mark.parametrize("settings", [{}, CHECKPOINT, CUSTOM, {"kind": "compact", "num_threads": 2}])
def test_what_was_written_out_whole_is_taken_back(settings: dict[str, Any]) -> None:
    found = RouterConfig.model_validate(settings)
    assert RouterConfig.model_validate(found.model_dump()) == found


def test_nothing_is_remembered_and_nothing_waited_for_by_default() -> None:
    found = RouterConfig()
    assert (found.cache_size, found.batch_wait_timeout_s, found.num_threads) == (0, 0.0, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "compact", "head": "x"}, "head goes with kind linear, not with compact"),
        ({"kind": "compact", "encoder": "x"}, "leave encoder out, or write kind: linear"),
        ({"kind": "compact", "import_path": "a:b"}, "import_path goes with kind custom"),
        ({"kind": "compact", "options": {"a": 1}}, "options goes with kind custom"),
        ({**CHECKPOINT, "head": "x"}, "head goes with kind linear, not with encoder"),
        ({"kind": "linear", "model": "x"}, "model goes with kind compact or encoder, not with linear"),
        ({"kind": "linear", "num_threads": 1}, "num_threads goes with kind compact or encoder"),
        ({"kind": "linear", "import_path": "a:b"}, "import_path goes with kind custom, not with linear"),
        ({**CUSTOM, "model": "x"}, "leave model out, or write kind: compact"),
        ({**CUSTOM, "num_threads": 1}, "num_threads goes with"),
        ({"kind": "custom"}, "needs import_path, a 'module:callable'"),
        ({"kind": "encoder"}, "modem router train --config training/deberta-v3-large.yaml"),
        ({"kind": "encoder", "model": "shipped"}, "needs model, the folder of a trained checkpoint"),
        ({"kind": "bert"}, "kind"),
        ({"num_threads": 0, "kind": "compact"}, "num_threads"),
        ({"max_batch_tokens": 0}, "max_batch_tokens"),
        ({"cache_size": -1}, "cache_size"),
        ({"modle": "x"}, "modle"),
    ],
)
def test_what_does_not_go_together_says_how_to_mend_it(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RouterConfig.model_validate(settings)

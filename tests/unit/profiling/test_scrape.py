"""What is read from a page of Prometheus metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.profiling.scrape import Published, read_metrics
from tests.unit.profiling.engines import VLLM_METRICS


def test_vllm_tells_its_kv_cache_by_labels_and_modem_its_start() -> None:
    assert read_metrics(VLLM_METRICS) == Published(16 * 512, 42.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0',
        'vllm:cache_config_info{block_size="16"} 1.0',
        'vllm:cache_config_info{block_size="16",num_gpu_blocks="0"} 1.0',
        "vllm:cache_config_info 1.0",
        "modem_startup_s NaN",
        "modem_startup_s 0",
        "modem_startup_s +Inf",
        "modem_startup_s soon",
        'vllm:num_requests_running{model_name="math"} 3',
    ],
)
def test_what_is_not_told_is_unknown(text: str) -> None:
    assert read_metrics(text) == Published(None, None)


def test_labels_do_not_hide_the_value() -> None:
    assert read_metrics('modem_startup_s{replica="a b"} 7.25\n').startup_s == 7.25


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    read_metrics(text)

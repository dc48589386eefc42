"""Which requests count for goodput."""

from typing import Any

import pytest

from modem.load import goodput
from modem.load.columns import columns
from modem.slo import parse_slo
from tests.unit.load.records import record

WHOLE: dict[str, Any] = {"stream": False, "first_content_s": None, "last_content_s": None, "itl_s": ()}


@pytest.mark.parametrize(
    ("targets", "changes", "good"),
    [
        ("ttft_p99<2s", {}, True),
        ("ttft_p99<0.4s", {}, False),
        ("ttft_p99<0.4s,e2e_p99<9s", {}, False),
        ("share(ttft<1s,e2e<1s)>=50%", {}, False),
        ("share(ttft<1s,e2e<2s)>=50%", {}, True),
        ("itl_p99<0.09s", {}, False),
        ("itl_p99<0.11s", {}, True),
        ("itl_p99<0.24s", {"output_tokens": None}, False),
        ("itl_p99<0.26s", {"output_tokens": None}, True),
        ("itl_p99<1ms", {"output_tokens": 1, "itl_s": ()}, True),
        # Half may take longer than the first limit, so only the second can make a request bad.
        ("ttft_p50<0.4s,ttft_p99<1s", {}, True),
        ("ttft_p99<1s", WHOLE, False),
        ("ttft_p99<1.2s", WHOLE, True),
        ("ttft_p99<2s", {"outcome": "rate_limited"}, False),
        ("ttft_p99<2s", {"outcome": "broken_stream"}, False),
        # Sent late: the user has waited all the same.
        ("ttft_p99<0.5s", {"intended_s": 0.9, "sent_s": 1.4}, False),
    ],
)
def test_good_is_answered_within_all_limits(targets: str, changes: dict[str, Any], good: bool) -> None:
    assert goodput.good(columns([record(**changes)]), parse_slo(targets)).tolist() == [good]

"""Records for tests."""

from typing import Any

from modem.load.record import Record


def record(**changes: Any) -> Record:
    """An answer: meant for 1.0 s, sent at 1.01 s, first content at 1.5 s, the end at 2.0 s."""
    fields: dict[str, Any] = {
        "index": 0,
        "turn": 0,
        "worker": 0,
        "session": None,
        "domain": "math",
        "routed": "math",
        "reason": "top_score",
        "confidence": 0.9,
        "stream": True,
        "intended_s": 1.0,
        "sent_s": 1.01,
        "first_byte_s": 1.1,
        "first_token_s": 1.4,
        "first_content_s": 1.5,
        "last_content_s": 2.0,
        "end_s": 2.1,
        "itl_s": (0.2, 0.3),
        "num_chunks": 3,
        "prompt_tokens": 7,
        "output_tokens": 6,
        "outcome": "ok",
        "status": 200,
        "message": None,
        "request_id": "r-0-0",
    }
    return Record(**{**fields, **changes})

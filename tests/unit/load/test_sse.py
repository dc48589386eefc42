"""The parser of event streams: whatever the cuts, the same events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modem.load.sse import SseParser

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
EVENTS = st.lists(TEXTS, min_size=1, max_size=3).map(lambda lines: [line.encode() for line in lines])
NOISE = st.sampled_from([b": a comment", b":", b"event: message", b"id: 7", b"retry: 10", b"unknown", b"dat"])


def parse(stream: bytes, *cuts: int) -> list[bytes]:
    parser, events, last = SseParser(), [], 0
    for cut in [*cuts, len(stream)]:
        events += parser.feed(stream[last:cut])
        last = cut
    return events


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream with one kind of line end, comments and other fields, and the data of its events."""
    end, parts, expected = draw(LINE_ENDS), [], []
    for event in draw(st.lists(EVENTS, max_size=5)):
        for line in event:
            parts += [noise + end for noise in draw(st.lists(NOISE, max_size=1))]
            # The one space after the colon is not part of the data; further ones are.
            parts.append(
                b"data:" + (b" " if line.startswith(b" ") or draw(st.booleans()) else b"") + line + end
            )
        parts.append(end * draw(st.integers(1, 3)))
        expected.append(b"\n".join(event))
    return b"".join(parts), expected


@given(stream=streams(), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_cuts_change_nothing(stream: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    text, expected = stream
    assert parse(text, *sorted(min(cut, len(text)) for cut in cuts)) == expected


@given(stream=streams())
def test_byte_by_byte_gives_the_same(stream: tuple[bytes, list[bytes]]) -> None:
    text, expected = stream
    assert parse(text, *range(len(text))) == expected


@given(stream=streams())
def test_an_event_is_there_with_the_byte_that_ends_it(stream: tuple[bytes, list[bytes]]) -> None:
    """Else a chunk would be stamped when the next one is read."""
    text, expected = stream
    parser, num_found = SseParser(), 0
    for at in range(len(text)):
        num_found += len(parser.feed(text[at : at + 1]))
        before_last_ends = text[: at + 1].endswith((b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\r"))
        if before_last_ends:
            assert num_found == len(parse(text[: at + 1]))
    assert num_found == len(expected)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b": comment\n\n", []),
        (b"event: ping\n\n", []),
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data\n\n", [b""]),
        (b"data:\n\n", [b""]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\n: comment\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\n\ndata: [DONE]\n\n", [b"a", b"[DONE]"]),
        (b"database: a\n\n", []),
        (b" data: a\n\n", []),
        (b"data: a: b\n\n", [b"a: b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: \xef\xbb\xbf\n\n", [b"\xef\xbb\xbf"]),
        (b"data: a\r\n\r\ndata: b\n\ndata: c\r\r", [b"a", b"b", b"c"]),
        (b"data: a", []),
        (b"data: a\n", []),
    ],
)
def test_what_the_standard_says(stream: bytes, expected: list[bytes]) -> None:
    assert parse(stream) == expected
    assert parse(stream, *range(len(stream))) == expected


@pytest.mark.parametrize(
    ("stream", "unfinished"),
    [(b"data: a\n\n", False), (b"data: a\n", True), (b"data: a", True), (b": c\n", False), (b"", False)],
)
def test_it_knows_of_an_event_that_has_no_end(stream: bytes, unfinished: bool) -> None:
    parser = SseParser()
    parser.feed(stream)
    assert parser.unfinished == unfinished


def test_an_empty_read_changes_nothing() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\r\n\r") + parser.feed(b"") + parser.feed(b"\ndata: b\r\n\r\n") == [
        b"a",
        b"b",
    ]

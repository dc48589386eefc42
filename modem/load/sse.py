"""Server-sent events, taken apart as their bytes arrive.

Source: WHATWG HTML, "Server-sent events", section 9.2.6 "Interpreting an event stream".
"""

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Turns the bytes of an event stream, however they are cut, into the data of its events.

    Comments, names, ids and retry times are passed over: the OpenAI API has all that matters in ``data``.
    Lines may end with LF, CRLF or CR.
    """

    __slots__ = ("_after_cr", "_begun", "_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._after_cr = False
        self._begun = False

    @property
    def unfinished(self) -> bool:
        """Whether an event has begun that no empty line has ended; at the end of a stream it is lost."""
        return bool(self._rest or self._data)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; return the data of each event that they complete.

        Args:
            chunk: Bytes as they were read; may end within a line, a character or a line end.
        """
        if self._after_cr and chunk:
            # The CR was taken as a line end when it came; this LF is its second half.
            self._after_cr = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk[-1] == 0x0D
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._rest:
            chunk = self._rest + chunk
        if not self._begun:
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._rest = chunk
                return []
            self._begun = True
            chunk = chunk.removeprefix(_BOM)
        lines = chunk.split(b"\n")
        self._rest = lines.pop()
        return self._events(lines) if lines else []

    def _events(self, lines: list[bytes]) -> list[bytes]:
        data, events = self._data, []
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
        return events

"""The folder of a run: written line by line, so that what was recorded outlives whatever ends the run."""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from modem.errors import ConfigError

RUN = "run.json"
REQUESTS = "requests.jsonl"
CLUSTER = "cluster.jsonl"
CLIENT = "client.jsonl"


def default_folder(scenario: str) -> Path:
    """Return a folder of its own for a run that begins now."""
    return Path("runs") / f"{scenario}-{time.strftime('%Y%m%d-%H%M%S')}"


class RunFolder:
    """Writes ``run.json``, ``requests.jsonl``, ``cluster.jsonl`` and ``client.jsonl``.

    Args:
        path: Made if there is none. It must not hold a run.

    Raises:
        ConfigError: It holds one, or cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_free(path)
        self._files: dict[str, BinaryIO] = {}
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name in (REQUESTS, CLUSTER, CLIENT):
                self._files[name] = (path / name).open("wb")
        except OSError as error:
            self.close()
            raise ConfigError(f"--out {path}: cannot be written to: {error.strerror}") from error

    def write_run(self, fields: Mapping[str, Any]) -> None:
        """Write ``run.json`` anew; a reader sees the old one or the new one, never half of one."""
        draft = self.path / f".{RUN}"
        draft.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(draft, self.path / RUN)

    def append(self, name: str, lines: bytes) -> None:
        """Append whole lines, each with its end, and hand them to the system at once."""
        self._files[name].write(lines)
        self._files[name].flush()

    def close(self) -> None:
        """Close the files; may be called again. Of a run that never began nothing is left."""
        for file in self._files.values():
            file.close()
        if not (self.path / RUN).exists():
            for name in self._files:
                (self.path / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it was there before, with other things in it
                self.path.rmdir()


def check_free(path: Path) -> None:
    """Make sure that no run is overwritten.

    Raises:
        ConfigError: The folder holds one, or is no folder.
    """
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out {path}: is no folder")
    if (path / RUN).exists() or (path / REQUESTS).exists():
        raise ConfigError(f"--out {path}: holds a run already; name another folder, or delete this one")

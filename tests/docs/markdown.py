"""What the tests read out of Markdown: fenced blocks, code spans, links, headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        file: Path below the root, for messages.
        line: Where it begins.
        language: What stands behind the fence.
        text: What stands inside.
        output: Text of the ``text`` or ``json`` block right behind it, in which a document shows
            what it prints; empty if there is none.
    """

    file: str
    line: int
    language: str
    text: str
    output: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def commands(self) -> list[str]:
        """The shell commands in it, each on one line; in a ``console`` block those behind a prompt."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix(_PROMPT) for line in lines if line.startswith(_PROMPT)]
        elif self.language != "sh":
            return []
        return [part.strip() for line in lines for part in line.split(" && ") if part.strip()]


def documents() -> list[Path]:
    """All Markdown files of the repository."""
    found = (path for path in ROOT.rglob("*.md") if not _is_foreign(path.relative_to(ROOT)))
    return sorted(found)


def _is_foreign(path: Path) -> bool:
    return any(part.startswith(".") or part in ("node_modules", "build", "dist") for part in path.parts)


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a file, each with its recorded output."""
    text = path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT))
    fences = list(_FENCE.finditer(text))
    found = []
    for fence, behind in zip_longest(fences, fences[1:]):
        shows = behind and behind[1] in ("text", "json") and not text[fence.end() : behind.start()].strip()
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(name, line, fence[1], fence[2], behind[2] if behind and shows else ""))
    return found


def code(path: Path) -> Iterator[str]:
    """All that is set as code: spans, and the commands of blocks."""
    prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
    yield from (found[1] for found in _SPAN.finditer(prose))
    for block in blocks(path):
        yield from block.commands()


def words(command: str) -> list[str]:
    """A command's words; what the shell would not take counts as none."""
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return []


def links(path: Path) -> list[str]:
    """Targets of all links, outside of code."""
    prose = _SPAN.sub("", _FENCE.sub("", path.read_text(encoding="utf-8")))
    return [found[1] for found in _LINK.finditer(prose)]


def anchors(path: Path) -> set[str]:
    """What a link into the file may name behind ``#``, by GitHub's rule."""
    prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = (found[1].replace("`", "").lower() for found in _HEADING.finditer(prose))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}

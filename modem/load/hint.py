"""What was probably meant by a name that is not known."""

from collections.abc import Sequence
from difflib import get_close_matches


def hint(name: str, known: Sequence[str], otherwise: str) -> str:
    """Return a question for the nearest known name; without one near enough, what else to do."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise

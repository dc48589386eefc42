"""A prompt taken apart."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parts:
    """A prompt taken apart.

    Attributes:
        question: What is asked; empty only if the prompt is.
        passages: What it comes with: retrieved or pasted text that was told from the question.
    """

    question: str
    passages: str = ""

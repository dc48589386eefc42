"""How many texts go through a model at once: pure functions on lengths in tokens.

A pass costs what its padded tokens cost, rows times the longest of them, and holds memory for them. So
passes are bounded by that product, not by the number of texts alone.
"""

from collections.abc import Iterable, Sequence

_CHARS_PER_TOKEN = 4
"""Of English text, about; code and rare words have less."""


def batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group texts into passes that waste little on padding.

    Args:
        lengths: Tokens of each text.
        max_tokens: Of a pass, padding included. A text that is longer goes alone.

    Returns:
        Indices into ``lengths``, each once; those of like length together, shortest first.
    """
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        # The newcomer is the longest so far, so the others would be padded to it.
        if found and (len(found[-1]) + 1) * lengths[index] <= max_tokens:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def how_many(lengths: Iterable[int], max_texts: int, max_tokens: int) -> int:
    """Return how many texts at the head of a queue go into the next pass.

    Args:
        lengths: Tokens of the texts that wait, in their order; read no further than needed.
        max_texts: Of a pass.
        max_tokens: Of a pass, padding included.

    Returns:
        1 or more, however long the first is; 0 if nothing waits.
    """
    number = longest = 0
    for length in lengths:
        longest = max(longest, length)
        if number and (number == max_texts or (number + 1) * longest > max_tokens):
            break
        number += 1
    return number


def guess_tokens(text: str) -> int:
    """Return about how many tokens a text has, without a tokenizer."""
    return len(text) // _CHARS_PER_TOKEN + 1

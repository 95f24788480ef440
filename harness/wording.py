"""Numbers and the words that follow them, in the singular or the plural."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, word: str, plural: str = "") -> str:
    """Return a number with its word: "1 figure", "2 figures"; "" for a plural with an s."""
    return f"{number} {word if number == 1 else plural or word + 's'}"


def named(word: str, values: Sequence[object]) -> str:
    """Return a word with the values it is about: "seed 1", "seeds 1, 2"."""
    return f"{word}{'' if len(values) == 1 else 's'} {', '.join(map(str, values))}"

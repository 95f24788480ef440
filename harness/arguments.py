"""Turn the text of options into values, or say what is wrong with it."""

from __future__ import annotations

import argparse

FORMATS = ("md", "tex", "json", "csv")


def count(text: str) -> int:
    """Read a whole number from 1 on."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give a whole number from 1 on")
    return number


def names(text: str) -> tuple[str, ...]:
    """Read names between commas."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise argparse.ArgumentTypeError("give at least one name")
    return found


def formats(text: str) -> tuple[str, ...]:
    """Read formats between commas."""
    found = names(text)
    for name in found:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"no format {name!r}; known: {', '.join(FORMATS)}")
    return found


def seeds(text: str) -> tuple[int, ...]:
    """Read seeds and ranges of them, such as 0-4, between commas."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            first = int(low)
            last = int(high) if dash else first
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{part!r} is not a seed or a range like 0-4"
            ) from None
        if last < first:
            raise argparse.ArgumentTypeError(f"the range {part!r} is empty")
        found.extend(range(first, last + 1))
    if len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(f"{text!r} names a seed twice")
    return tuple(found)


def rate(text: str) -> float:
    """Read a number of TFLOPS."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of TFLOPS above 0")
    return found

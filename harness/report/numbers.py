"""Format numbers as text with fixed decimals, the Unicode minus sign and no negative zero.

Python's ``format`` and ``round`` both round the float's exact binary value to nearest (exact ties
to even). Texts are never parsed.
"""

from __future__ import annotations

from harness.stats.intervals import Interval

MINUS = "\N{MINUS SIGN}"


def fixed(value: float, digits: int) -> str:
    """Return a number with ``digits`` decimals."""
    return format(shown(value, digits), f".{digits}f").replace("-", MINUS)


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign; a difference that rounds to zero has no sign."""
    rounded = shown(value, digits)
    return fixed(value, digits) if rounded <= 0 else f"+{fixed(value, digits)}"


def bracket(interval: Interval, digits: int) -> str:
    """Return an interval as "[low, high]"."""
    return f"[{fixed(interval.low, digits)}, {fixed(interval.high, digits)}]"


def shown(value: float, digits: int) -> float:
    """Return a number rounded as it is shown."""
    return round(value, digits) + 0.0  # -0.0 becomes 0.0

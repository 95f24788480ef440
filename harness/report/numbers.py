"""Numbers as text: fixed decimals, a true minus sign, no negative zero.

Python's ``format`` rounds the float's exact binary value to nearest (exact ties to even), and
``round`` does the same; texts are never parsed back.
"""

from __future__ import annotations

from harness.stats import Interval

MINUS = "\N{MINUS SIGN}"


def fixed(value: float, digits: int) -> str:
    """Return a number with ``digits`` decimals."""
    return format(shown(value, digits), f".{digits}f").replace("-", MINUS)


def signed(value: float, digits: int) -> str:
    """Return a difference with its sign; one that rounds to zero has none."""
    rounded = shown(value, digits)
    return fixed(value, digits) if rounded <= 0 else f"+{fixed(value, digits)}"


def bracket(interval: Interval, digits: int) -> str:
    """Return an interval as "[low, high]"."""
    return f"[{fixed(interval.low, digits)}, {fixed(interval.high, digits)}]"


def shown(value: float, digits: int) -> float:
    """Return the number that a reader sees; numbers that look equal rank equal."""
    return round(value, digits) + 0.0  # -0.0 becomes 0.0

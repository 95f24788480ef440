"""GRIM test: the counts of images that can give a printed percentage."""

from __future__ import annotations

from fractions import Fraction


def grim(value: float, n: int, digits: int = 2) -> list[int]:
    """Return the counts k for which 100 k / n is printed as ``value``.

    A printed percentage may have been rounded half up or half to even, or truncated; a count
    that fits any of the three is returned. Exact: no floating-point arithmetic on k / n.

    Args:
        value: the percentage as printed, with at most ``digits`` decimals.
        n: number of images.
        digits: number of decimals printed.

    Returns:
        counts in ascending order; empty if no count of ``n`` images gives this number.

    Raises:
        ValueError: ``n`` is not positive, or the value has more than ``digits`` decimals.

    Source: N. J. L. Brown and J. A. J. Heathers, "The GRIM test" (2017).
    """
    if n <= 0:
        raise ValueError(f"n is {n}; a percentage of images needs at least one.")
    unit = 10**digits
    printed = round(value * unit)
    if abs(value * unit - printed) > 1e-6:
        raise ValueError(f"{value} has more than {digits} decimals; raise digits.")
    # Rounding and truncation move 100 k / n by less than one unit of the last decimal, so that
    # |100 k / n - value| < 10^-digits; only counts k within these bounds are checked.
    first = max(0, (printed - 1) * n // (100 * unit))
    last = min(n, (printed + 1) * n // (100 * unit) + 1)
    return [k for k in range(first, last + 1) if printed in _printings(Fraction(100 * unit * k, n))]


def _printings(exact: Fraction) -> set[int]:
    """Return a number rounded half up, rounded half to even and truncated, to whole units."""
    half_up = (exact + Fraction(1, 2)).__floor__()
    return {half_up, round(exact), exact.__floor__()}

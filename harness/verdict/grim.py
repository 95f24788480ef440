"""GRIM test: the counts of images that can give a printed percentage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from harness.spec.printed import Printed

HALF_UP, HALF_EVEN, TRUNCATED = "half up", "half to even", "truncated"

CONVENTIONS: Mapping[str, Callable[[Fraction], int]] = MappingProxyType(
    {
        HALF_UP: lambda exact: (exact + Fraction(1, 2)).__floor__(),
        HALF_EVEN: lambda exact: round(exact),
        TRUNCATED: lambda exact: exact.__floor__(),
    }
)
"""Ways to print a number of units of the last decimal as a whole number of them."""


@dataclass(frozen=True, kw_only=True)
class Grim:
    """Counts k of n images for which 100 k / n is printed as a number, by the way of printing.

    Attributes:
        printed: the number.
        n: number of images.
        fits: counts in ascending order, for each of CONVENTIONS.
    """

    printed: Printed
    n: int
    fits: Mapping[str, tuple[int, ...]]

    @property
    def counts(self) -> tuple[int, ...]:
        """Counts that fit any way of printing, ascending; empty: the number is unattainable."""
        return tuple(sorted({count for counts in self.fits.values() for count in counts}))

    @property
    def rounded(self) -> tuple[int, ...]:
        """Counts that fit rounding, half up or half to even, but not truncation alone."""
        return tuple(sorted({*self.fits[HALF_UP], *self.fits[HALF_EVEN]}))

    @property
    def conventions(self) -> tuple[str, ...]:
        """Names of the ways of printing that a count fits."""
        return tuple(name for name, counts in self.fits.items() if counts)

    @property
    def attainable(self) -> bool:
        """Whether any count of n images gives the printed number."""
        return bool(self.conventions)


def grim(number: Printed | str | float, n: int) -> Grim:
    """Return the counts of ``n`` images that a percentage can stand for, by the way of printing.

    Exact: no floating-point arithmetic on k / n. The decimals of a text count: "61.30" has two. A
    number has those of its shortest form, so that 61.3 has one.

    Raises:
        ValueError: ``n`` is not positive.

    Source: N. J. L. Brown and J. A. J. Heathers, "The GRIM test" (2017).
    """
    if n <= 0:
        raise ValueError(f"n is {n}; a percentage of images needs at least one.")
    printed = Printed.of(number)
    unit = 10**printed.digits
    target = int(printed.exact * unit)
    # Rounding and truncation move 100 k / n by less than one unit of the last decimal, so that
    # |100 k / n - value| < 10^-digits; only counts k within these bounds are checked.
    first = max(0, (target - 1) * n // (100 * unit))
    last = min(n, (target + 1) * n // (100 * unit) + 1)
    shares = {k: Fraction(100 * unit * k, n) for k in range(first, last + 1)}
    return Grim(
        printed=printed,
        n=n,
        fits=MappingProxyType(
            {
                name: tuple(k for k, share in shares.items() if convention(share) == target)
                for name, convention in CONVENTIONS.items()
            }
        ),
    )

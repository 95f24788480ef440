"""Numbers as a paper prints them: the text, since its decimals tell how far the number is rounded.

61.30 has two decimals and stands for 61.295 to 61.305; as the number 61.3 it would have one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from msgspec import Meta

from harness import ranges
from harness.errors import UserError

MOST = 10_000_000
"""Largest number of runs or of images of a printed number."""

Count = Annotated[int, Meta(ge=1, le=MOST)]
"""A number of runs or of images."""

_TEXT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)


@dataclass(frozen=True)
class Printed:
    """One published number.

    Attributes:
        text: the number as printed, without sign of percent or unit ("61.30").
        exact_decimals: whether the decimals of ``text`` are those of the print. False where a table
            gives a number instead of a text: its last zeros are not known.
        runs: number of runs whose mean it is; 1 for a single run's.
        images: number of images that it was evaluated on; None for the data set's own number.

    Raises:
        UserError: the text is not a decimal number of at most 15 digits before and after the point,
            or a count is not positive.
    """

    text: str
    exact_decimals: bool = field(default=True, compare=False)
    runs: Count = field(default=1, kw_only=True)
    images: Count | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not _TEXT.fullmatch(self.text):
            raise UserError(f"A printed number is {ranges.said(self.text)}; {ALLOWED}")
        ranges.check(self)

    @classmethod
    def of(cls, number: Printed | str | float) -> Printed:
        """Return a text, or the shortest decimals of a number, as a printed number.

        Raises:
            UserError: it is neither a decimal number nor the text of one.
        """
        if isinstance(number, Printed):
            return number
        if isinstance(number, str):
            return cls(number)
        if not ranges.fits(float, number):
            raise UserError(f"A printed number is {ranges.said(number)}; {ALLOWED}")
        # repr of a float has the fewest digits that give it back; "f" avoids exponents.
        text = format(Decimal(repr(number)), "f")
        if "." in text:
            text = text.rstrip("0").removesuffix(".")
        return cls(text, exact_decimals=False)

    def padded(self, digits: int) -> Printed:
        """Return a number whose last zeros are not known with zeros up to ``digits`` decimals."""
        if self.exact_decimals or self.digits >= digits:
            return self
        point = "" if self.digits else "."
        text = f"{self.text}{point}{'0' * (digits - self.digits)}"
        return replace(self, text=text)

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def exact(self) -> Fraction:
        """The number without the rounding of binary fractions."""
        return Fraction(self.text)

    @property
    def digits(self) -> int:
        """Number of decimals."""
        return len(self.text.partition(".")[2])

    @property
    def resolution(self) -> float:
        """Half a unit of the last decimal: the most by which rounding has moved the number."""
        return 0.5 * 10.0**-self.digits


ALLOWED = 'allowed: the text of a decimal number, such as "61.30", or a number.'
"""What a table may give as a printed number."""

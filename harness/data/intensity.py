"""Which values of images with more than 8 bits become black and white."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """Which values become black and white; images of 8 bits stay as they are.

    Attributes:
        low: the value that becomes 0; None if no range is given.
        high: the value that becomes 255.
        window: "file" takes the window that each DICOM file states.

    Raises:
        UserError: the range is empty or not finite, or both a range and a window are given.
    """

    low: float | None = None
    high: float | None = None
    window: Literal["file"] | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None) or (self.low is not None and self.window):
            raise UserError("give a range of two values, or the files' own window, not both")
        if self.low is not None and self.high is not None:
            finite = math.isfinite(self.low) and math.isfinite(self.high)
            if not finite or self.low >= self.high:
                raise UserError(f"a range from {self.low:g} to {self.high:g} is empty")


def window(centre: float, width: float) -> Intensity:
    """Return the range of a window (DICOM PS3.3, C.11.2.1.2: linear).

    Raises:
        UserError: the width is not above 1.
    """
    if not width > 1:
        raise UserError(f"a window of width {width:g} is empty; allowed: above 1")
    return Intensity(low=centre - 0.5 - (width - 1) / 2, high=centre - 0.5 + (width - 1) / 2)

"""Values on a grid: the smallest spread that few of them can be believed to have.

An accuracy of n images is a multiple of 1/n, and a number that was typed with one decimal is a
multiple of 0.1. A few such values can be equal by chance. Their standard deviation is then zero and
Student's t infinite, however small the difference is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

COUNTED = ("accuracy", "balanced_accuracy", "macro_f1")
"""Metrics of predicted classes, which one image of n moves by about 1 / n or more."""


def step_of(metric: str, n: int | None, *, factor: float, digits: int) -> float:
    """Return the distance of neighbouring values of a metric, in display units.

    One image of the n for metrics of predicted classes; for others, and where n is not known, one
    unit of the last digit that is shown.

    Args:
        metric: name of the metric.
        n: number of images.
        factor: from the metric's own unit to the display unit.
        digits: decimals shown.
    """
    return factor / n if metric in COUNTED and n else 10.0**-digits


def least_sd(step: float) -> float:
    """Return the smallest standard deviation of one value that is believed, half a step.

    It is the largest that a value on two neighbouring points of the grid can have. The rounding of
    a continuous value to the grid has step / sqrt(12) (a uniform of that width), which is too
    little: of accuracies with a few images in doubt, Student's test against one more draw then errs
    in up to 8 % at five and more seeds, without any floor in up to 25 % at two. With half a step it
    errs in at most 5 % (``tests/stats/test_grid.py``).

    Args:
        step: distance of neighbouring points, at least 0; 0 for values on no grid.

    Raises:
        ValueError: the step is negative or not finite.
    """
    if not (step >= 0.0 and math.isfinite(step)):
        raise ValueError(f"The step {step} is no finite number from 0 on.")
    return 0.5 * step


def least_sd_of_differences(*steps: float) -> float:
    """Return the smallest standard deviation of the difference of two values on grids."""
    return math.hypot(*map(least_sd, steps))


def decimal_step(values: Sequence[float]) -> float:
    """Return one unit of the last decimal that any of the values has in its shortest form."""
    exponents = [Decimal(repr(float(value))).normalize().as_tuple().exponent for value in values]
    known = [exponent for exponent in exponents if isinstance(exponent, int)]
    # Zeros before the point are no sign of a coarser grid: 80 is read as a whole number.
    return float(Decimal(10) ** min([0, *known]))

"""Search spaces of sweeps: dimensions, the fields they set, and constraints between them.

Values are those of the paper's scale: a profile scales a searched duration like any other. All
fields of one dimension get the same value.

Constraints hold by construction, so no trial is rejected: the last free dimension of a constraint
is drawn as a share, 0 to 1, of the range that the others leave. The sampled space is therefore a
box, as TPE, CMA-ES and importances require, and every point of it can be trained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from msgspec import Meta

from harness import ranges
from harness.errors import UserError, unknown

Value = float | int | str
"""Value of a dimension."""

SHARE = "_share"
"""Suffix of parameters that are a share of the range left to their dimension."""

Bound = Annotated[float, Meta(ge=-1e9, le=1e9)]
"""A bound of a searched number; the settings that it is for have ranges of their own."""

WholeBound = Annotated[int, Meta(ge=-(10**9), le=10**9)]
"""Likewise, of a searched whole number."""

MOST_LEVELS = 1_000_000
"""Steps that a dimension can have."""

_TOLERANCE = 1e-9
"""Allowed floating-point error of sums and steps."""


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number between two bounds, both included.

    Attributes:
        name: name in reports and in the study.
        fields: the settings that get the value, named as in ``--set``
            ("pretrain.method.mask_ratio").
        low: lower bound.
        high: upper bound.
        step: distance between allowed values, from ``low`` on; None allows all.
        log: whether values are drawn uniformly in the logarithm.
        digits: significant digits to which values are rounded, so that trials can share a stage;
            None for no rounding.
        grid: values of a grid search; empty for every step.
    """

    key_name: ClassVar[str] = "real"

    name: str
    fields: tuple[str, ...]
    low: Bound
    high: Bound
    step: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    log: bool = False
    digits: Annotated[int, Meta(ge=1, le=17)] | None = None
    grid: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)

    def tidy(self, value: float) -> float:
        """Return the value rounded, so that values equal up to rounding error have one key."""
        if self.digits is not None and value:
            places = self.digits - 1 - math.floor(math.log10(abs(value)))
            return min(max(round(value, places), self.low), self.high)
        return round(value, 12)

    def levels(self) -> tuple[float, ...]:
        """Return the values of a grid."""
        return self.grid or tuple(self.tidy(v) for v in _steps(self))


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A whole number between two bounds, both included.

    Attributes:
        name: see ``Real``.
        fields: see ``Real``.
        low: lower bound.
        high: upper bound.
        step: distance between allowed values, from ``low`` on.
        log: whether values are drawn uniformly in the logarithm.
        grid: values of a grid search; empty for every step.
    """

    key_name: ClassVar[str] = "whole"

    name: str
    fields: tuple[str, ...]
    low: WholeBound
    high: WholeBound
    step: Annotated[int, Meta(ge=1, le=10**9)] = 1
    log: bool = False
    grid: tuple[WholeBound, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)

    def tidy(self, value: float) -> int:
        """Return the value as a whole number."""
        return round(value)

    def levels(self) -> tuple[int, ...]:
        """Return the values of a grid."""
        return self.grid or tuple(range(self.low, self.high + 1, self.step))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of several values without an order.

    Attributes:
        name: see ``Real``.
        fields: see ``Real``.
        choices: the values.
    """

    key_name: ClassVar[str] = "choice"

    name: str
    fields: tuple[str, ...]
    choices: tuple[Value | bool, ...]

    def __post_init__(self) -> None:
        ranges.check(self)
        if len(set(self.choices)) != len(self.choices) or not self.choices:
            raise UserError(f"Dimension {self.name!r} needs choices that differ.")

    def levels(self) -> tuple[Value, ...]:
        """Return the values of a grid."""
        return self.choices


Number = Real | Whole
Dimension = Real | Whole | Choice


def _check_bounds(dimension: Number) -> None:
    """Check that bounds, steps and grid of a dimension agree; a UserError if they do not."""
    where = f"Dimension {dimension.name!r}"
    ranges.check(dimension)
    low, high, step = dimension.low, dimension.high, dimension.step
    if not low < high:
        raise UserError(f"{where} goes from {low} to {high}; low must be below high.")
    if dimension.log and (low <= 0 or step not in (None, 1)):
        raise UserError(f"{where} is logarithmic; it needs low above 0 and no step.")
    if step is not None:
        count = (high - low) / step
        if count > MOST_LEVELS:
            raise UserError(
                f"{where} has about {count:.0e} steps of {step} from {low} to {high}; allowed: at"
                f" most {MOST_LEVELS}."
            )
        if abs(count - round(count)) >= 1e-6:
            raise UserError(f"{where}: steps of {step} do not lead from {low} to {high}.")
    for value in dimension.grid:
        # A value is on a step if the fraction of steps from ``low`` is near 0 or near 1.
        if not low <= value <= high or (step and abs((value - low) / step % 1 - 0.5) < 0.5 - 1e-6):
            raise UserError(f"{where} has {value} in its grid, which it cannot take.")


def _steps(dimension: Real) -> Iterator[float]:
    """Return every allowed value of a dimension with steps, from ``low`` to ``high``."""
    if dimension.step is None:
        raise UserError(f"Dimension {dimension.name!r} has neither step nor grid: no grid of it.")
    count = round((dimension.high - dimension.low) / dimension.step)
    return (dimension.low + k * dimension.step for k in range(count + 1))


@dataclass(frozen=True, kw_only=True)
class SumAtMost:
    """A constraint that keeps a sum of dimensions at or below a total.

    Attributes:
        name: name in messages ("mask + throw < 1").
        dimensions: names of the dimensions, in the order of the space.
        total: largest value of the sum.
    """

    key_name: ClassVar[str] = "sum-at-most"

    name: str
    dimensions: tuple[str, ...]
    total: Annotated[float, Meta(ge=-1e9, le=1e9)]

    def __post_init__(self) -> None:
        ranges.check(self)


@dataclass(frozen=True, kw_only=True)
class Space:
    """The dimensions of a sweep and the constraints between them.

    Attributes:
        dimensions: what varies.
        constraints: what every point fulfils.
        fixed: values of dimensions that ``--set`` fixes; constraints still include them.

    Raises:
        UserError: names repeat or are unknown, or a constraint can be violated.
    """

    key_name: ClassVar[str] = "space"

    dimensions: tuple[Dimension, ...]
    constraints: tuple[SumAtMost, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [d.name for d in self.dimensions]
        fields = [path for d in self.dimensions for path in d.fields]
        for what, listed in (("dimension", names), ("field", fields)):
            repeated = {name for name in listed if listed.count(name) > 1}
            if repeated:
                raise UserError(f"The space has the {what} {min(repeated)!r} twice.")
        for constraint in self.constraints:
            self._check(constraint, names)

    def _check(self, constraint: SumAtMost, names: Sequence[str]) -> None:
        """Check that the last free dimension of a constraint always has an allowed value."""
        for name in constraint.dimensions:
            if name not in names and name not in self.fixed:
                raise unknown("dimension", name, [*names, *self.fixed])
        free = [n for n in constraint.dimensions if n in names]
        if free != [n for n in names if n in free]:
            raise UserError(f"{constraint.name!r} must name dimensions in the space's order.")
        # The others at their upper bounds and the last at its lower bound must keep the total.
        others = sum(self._number(n).high for n in free[:-1]) + self._fixed_sum(constraint)
        last = self._number(free[-1]).low if free else 0.0
        if others + last > constraint.total + _TOLERANCE:
            raise UserError(
                f"{constraint.name}: {' + '.join(constraint.dimensions)} can reach"
                f" {others + last:g}, allowed: {constraint.total:g}; narrow the space."
            )

    def _number(self, name: str) -> Number:
        dimension = next(d for d in self.dimensions if d.name == name)
        if isinstance(dimension, Choice):
            raise UserError(f"Dimension {name!r} is a choice; a sum needs numbers.")
        return dimension

    def _fixed_sum(self, constraint: SumAtMost) -> float:
        """Return the sum of a constraint's fixed dimensions."""
        return sum(float(v) for n, v in self.fixed.items() if n in constraint.dimensions)

    def bound(self, name: str) -> SumAtMost | None:
        """Return the constraint that bounds a dimension's range, None if it has its full range."""
        names = {d.name for d in self.dimensions}
        for constraint in self.constraints:
            if [n for n in constraint.dimensions if n in names][-1:] == [name]:
                return constraint
        return None

    def decode(self, parameters: Mapping[str, Value]) -> dict[str, Value]:
        """Return the dimensions' values for drawn parameters, the inverse of ``encode``."""
        values: dict[str, Value] = {}
        for dimension in self.dimensions:
            constraint = self.bound(dimension.name)
            if isinstance(dimension, Choice):
                values[dimension.name] = parameters[dimension.name]
            elif constraint is None:
                values[dimension.name] = dimension.tidy(float(parameters[dimension.name]))
            else:
                share = float(parameters[dimension.name + SHARE])
                extent = self._extent(dimension, constraint, values)
                if dimension.step is not None:
                    # Each of the allowed values gets an equal part of 0..1; 1 gets the last.
                    levels = math.floor(extent / dimension.step + _TOLERANCE) + 1
                    extent = dimension.step * min(int(share * levels), levels - 1)
                    share = 1.0
                values[dimension.name] = dimension.tidy(dimension.low + share * extent)
        return values

    def encode(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the parameters whose draw gives these values, the inverse of ``decode``."""
        drawn: dict[str, Value] = {}
        for dimension in self.dimensions:
            constraint = self.bound(dimension.name)
            if isinstance(dimension, Choice) or constraint is None:
                drawn[dimension.name] = values[dimension.name]
                continue
            above_low = float(values[dimension.name]) - dimension.low
            extent = self._extent(dimension, constraint, values)
            if dimension.step is not None:
                # The middle of the value's part of 0..1, so that rounding cannot change the value.
                levels = math.floor(extent / dimension.step + _TOLERANCE) + 1
                share = (round(above_low / dimension.step) + 0.5) / levels
            else:
                share = above_low / extent if extent else 0.0
            drawn[dimension.name + SHARE] = share
        return drawn

    def _extent(
        self, dimension: Number, constraint: SumAtMost, values: Mapping[str, Value]
    ) -> float:
        """Return how far above its lower bound a dimension may go, given the other values."""
        others = [n for n in constraint.dimensions if n != dimension.name and n not in self.fixed]
        used = sum(float(values[n]) for n in others) + self._fixed_sum(constraint)
        return max(0.0, min(dimension.high, constraint.total - used) - dimension.low)

    def grid(self) -> tuple[dict[str, Value], ...]:
        """Return every combination of levels that fulfils the constraints.

        Raises:
            UserError: a dimension has neither steps nor a grid.
        """
        names = [d.name for d in self.dimensions]
        levels = itertools.product(*(d.levels() for d in self.dimensions))
        points = (dict(zip(names, values, strict=True)) for values in levels)
        return tuple(point for point in points if self.allows(point))

    def allows(self, values: Mapping[str, Value]) -> bool:
        """Whether values fulfil every constraint."""
        with_fixed = {**self.fixed, **values}
        return all(
            sum(float(with_fixed[n]) for n in c.dimensions) <= c.total + _TOLERANCE
            for c in self.constraints
        )

    def corners(self) -> Iterator[dict[str, Value]]:
        """Yield the corners of the sampled box, with every value of choices."""
        ends: list[Sequence[tuple[str, Value]]] = []
        for d in self.dimensions:
            if isinstance(d, Choice):
                ends.append([(d.name, v) for v in d.choices])
            elif self.bound(d.name):
                ends.append([(d.name + SHARE, 0.0), (d.name + SHARE, 1.0)])
            else:
                ends.append([(d.name, d.low), (d.name, d.high)])
        return (self.decode(dict(corner)) for corner in itertools.product(*ends))

    def without(self, values: Mapping[str, Value]) -> Space:
        """Return the space with some dimensions fixed."""
        free = tuple(d for d in self.dimensions if d.name not in values)
        return replace(self, dimensions=free, fixed={**self.fixed, **values})

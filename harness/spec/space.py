"""What a sweep searches: the fields that vary, and what must hold between them.

Values are those of the paper's scale: a profile shrinks a swept duration like any other. Fields
of one dimension are linked: all of them get its value.

A constraint is kept by the way values are drawn, never by throwing trials away: its last free
dimension is drawn as a share, 0 to 1, of the room that the others leave. The drawn space stays a
box, which TPE, CMA-ES and importances need, and every point of it can be trained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.errors import UserError, unknown

Value = float | int | str

SHARE = "_share"
"""Ends the name of a parameter that is a share of the room left to its dimension."""

_NEARLY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Real:
    """A number between two bounds, both included.

    Attributes:
        name: in reports and in the study.
        fields: what gets the value, as ``--set`` names it ("pretrain.method.mask_ratio").
        step: distance of allowed values from ``low`` on; None for all.
        log: drawn evenly in the logarithm.
        digits: significant digits kept, so that trials can share a stage.
        grid: values of a grid, if not every step.
    """

    key_name: ClassVar[str] = "real"

    name: str
    fields: tuple[str, ...]
    low: float
    high: float
    step: float | None = None
    log: bool = False
    digits: int | None = None
    grid: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)

    def tidy(self, value: float) -> float:
        """Remove what floating point adds, so that equal settings have one key."""
        if self.digits is not None and value:
            places = self.digits - 1 - math.floor(math.log10(abs(value)))
            return min(max(round(value, places), self.low), self.high)
        return round(value, 12)

    def levels(self) -> tuple[float, ...]:
        """Return the values of a grid."""
        return self.grid or tuple(self.tidy(v) for v in _steps(self))


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A whole number between two bounds, both included; attributes as of ``Real``."""

    key_name: ClassVar[str] = "whole"

    name: str
    fields: tuple[str, ...]
    low: int
    high: int
    step: int = 1
    log: bool = False
    grid: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)

    def tidy(self, value: float) -> int:
        """Return it as a whole number."""
        return round(value)

    def levels(self) -> tuple[int, ...]:
        """Return the values of a grid."""
        return self.grid or tuple(range(self.low, self.high + 1, self.step))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of some values without an order; ``fields`` as of ``Real``."""

    key_name: ClassVar[str] = "choice"

    name: str
    fields: tuple[str, ...]
    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(set(self.choices)) != len(self.choices) or not self.choices:
            raise UserError(f"Dimension {self.name!r} needs choices that differ.")

    def levels(self) -> tuple[Value, ...]:
        """Return the values of a grid."""
        return self.choices


Number = Real | Whole
Dimension = Real | Whole | Choice


def _check_bounds(dimension: Number) -> None:
    where = f"Dimension {dimension.name!r}"
    low, high, step = dimension.low, dimension.high, dimension.step
    if not low < high:
        raise UserError(f"{where} goes from {low} to {high}; low must be below high.")
    if dimension.log and (low <= 0 or step not in (None, 1)):
        raise UserError(f"{where} is logarithmic; it needs low above 0 and no step.")
    if step is not None:
        count = (high - low) / step if step > 0 else math.nan
        if not abs(count - round(count if count == count else 0)) < 1e-6:
            raise UserError(f"{where}: steps of {step} do not lead from {low} to {high}.")
    for value in dimension.grid:
        if not low <= value <= high or (step and abs((value - low) / step % 1 - 0.5) < 0.5 - 1e-6):
            raise UserError(f"{where} has {value} in its grid, which it cannot take.")


def _steps(dimension: Real) -> Iterator[float]:
    if dimension.step is None:
        raise UserError(f"Dimension {dimension.name!r} has neither step nor grid: no grid of it.")
    count = round((dimension.high - dimension.low) / dimension.step)
    return (dimension.low + k * dimension.step for k in range(count + 1))


@dataclass(frozen=True, kw_only=True)
class SumAtMost:
    """Keep a sum of numbers at or below a total; see the module on how.

    Attributes:
        name: as told to users ("mask + throw < 1").
        dimensions: by name, in the order of the space.
    """

    key_name: ClassVar[str] = "sum-at-most"

    name: str
    dimensions: tuple[str, ...]
    total: float


@dataclass(frozen=True, kw_only=True)
class Space:
    """What varies, and what must hold.

    Attributes:
        fixed: values of dimensions that ``--set`` took out; constraints still count them.

    Raises:
        UserError: names repeat or are unknown, or a constraint leaves no room somewhere.
    """

    key_name: ClassVar[str] = "space"

    dimensions: tuple[Dimension, ...]
    constraints: tuple[SumAtMost, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [d.name for d in self.dimensions]
        fields = [path for d in self.dimensions for path in d.fields]
        for what, given in (("dimension", names), ("field", fields)):
            twice = {name for name in given if given.count(name) > 1}
            if twice:
                raise UserError(f"The space has the {what} {min(twice)!r} twice.")
        for constraint in self.constraints:
            self._check(constraint, names)

    def _check(self, constraint: SumAtMost, names: Sequence[str]) -> None:
        for name in constraint.dimensions:
            if name not in names and name not in self.fixed:
                raise unknown("dimension", name, [*names, *self.fixed])
        free = [n for n in constraint.dimensions if n in names]
        if free != [n for n in names if n in free]:
            raise UserError(f"{constraint.name!r} must name dimensions in the space's order.")
        most = sum(self._number(n).high for n in free[:-1]) + self._taken(constraint)
        least = self._number(free[-1]).low if free else 0.0
        if most + least > constraint.total + _NEARLY:
            raise UserError(
                f"{constraint.name}: {' + '.join(constraint.dimensions)} can reach"
                f" {most + least:g}, allowed: {constraint.total:g}; narrow the space."
            )

    def _number(self, name: str) -> Number:
        found = next(d for d in self.dimensions if d.name == name)
        if isinstance(found, Choice):
            raise UserError(f"Dimension {name!r} is a choice; a sum needs numbers.")
        return found

    def _taken(self, constraint: SumAtMost) -> float:
        return sum(float(v) for n, v in self.fixed.items() if n in constraint.dimensions)

    def bound(self, name: str) -> SumAtMost | None:
        """Return the constraint within whose room a dimension is drawn, None if it is free."""
        names = {d.name for d in self.dimensions}
        for constraint in self.constraints:
            if [n for n in constraint.dimensions if n in names][-1:] == [name]:
                return constraint
        return None

    def decode(self, parameters: Mapping[str, Value]) -> dict[str, Value]:
        """Turn what was drawn into values of the dimensions."""
        values: dict[str, Value] = {}
        for dimension in self.dimensions:
            constraint = self.bound(dimension.name)
            if isinstance(dimension, Choice):
                values[dimension.name] = parameters[dimension.name]
            elif constraint is None:
                values[dimension.name] = dimension.tidy(float(parameters[dimension.name]))
            else:
                share = float(parameters[dimension.name + SHARE])
                room = self._room(dimension, constraint, values)
                if dimension.step is not None:
                    places = math.floor(room / dimension.step + _NEARLY) + 1
                    room = dimension.step * min(int(share * places), places - 1)
                    share = 1.0
                values[dimension.name] = dimension.tidy(dimension.low + share * room)
        return values

    def encode(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return what must be drawn to get these values."""
        drawn: dict[str, Value] = {}
        for dimension in self.dimensions:
            constraint = self.bound(dimension.name)
            if isinstance(dimension, Choice) or constraint is None:
                drawn[dimension.name] = values[dimension.name]
                continue
            above = float(values[dimension.name]) - dimension.low
            room = self._room(dimension, constraint, values)
            if dimension.step is not None:
                places = math.floor(room / dimension.step + _NEARLY) + 1
                share = (round(above / dimension.step) + 0.5) / places
            else:
                share = above / room if room else 0.0
            drawn[dimension.name + SHARE] = share
        return drawn

    def _room(self, dimension: Number, constraint: SumAtMost, values: Mapping[str, Value]) -> float:
        others = [n for n in constraint.dimensions if n != dimension.name and n not in self.fixed]
        taken = sum(float(values[n]) for n in others) + self._taken(constraint)
        return max(0.0, min(dimension.high, constraint.total - taken) - dimension.low)

    def grid(self) -> tuple[dict[str, Value], ...]:
        """Return every combination of levels that keeps the constraints.

        Raises:
            UserError: a dimension has neither steps nor a grid.
        """
        names = [d.name for d in self.dimensions]
        points = itertools.product(*(d.levels() for d in self.dimensions))
        made = (dict(zip(names, point, strict=True)) for point in points)
        return tuple(point for point in made if self.allows(point))

    def allows(self, values: Mapping[str, Value]) -> bool:
        """Whether values keep every constraint."""
        known = {**self.fixed, **values}
        return all(
            sum(float(known[n]) for n in c.dimensions) <= c.total + _NEARLY
            for c in self.constraints
        )

    def corners(self) -> Iterator[dict[str, Value]]:
        """Yield the extremes of the drawn space; choices take every value."""
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
        kept = tuple(d for d in self.dimensions if d.name not in values)
        return replace(self, dimensions=kept, fixed={**self.fixed, **values})

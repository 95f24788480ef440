"""Typed reading of what Optuna's database holds: trials, their attributes, the study's definition.

A database can be damaged without SQLite or Optuna noticing. Every value is therefore checked here
before it is used, and a wrong one is an error that names the database and the trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness import files, migrations
from harness.errors import Damaged, shown
from harness.spec.space import SHARE, Choice, Dimension, Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

KEPT = (
    "Stages that are trained are kept in the records and found again by their keys; put the file"
    " back from a copy, or give --study NAME for a new study."
)
"""What a user can do about a study with damaged contents."""

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Finite = Annotated[float, Meta(ge=-1e300, le=1e300)]
Field = Annotated[str, Meta(pattern=r"^[^.]+\.[^.]+\.[^.]+$")]

TOLERANCE = 1e-9
"""Allowed rounding error of a value beside its bounds, relative to their distance."""


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What the harness stores with a trial.

    Attributes:
        key: key of the trial's run, "" until it is known.
        starts: number of processes that have begun or resumed the trial.
        stops: number of those that were stopped in good order.
        error: why the trial failed; None unless it did.
        macs: multiply-accumulates of all its training.
    """

    key: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    starts: Count = 1
    stops: Count = 0
    error: str | None = None
    macs: Annotated[float, Meta(ge=0, le=1e300)] | None = None


@dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """A trial of an Optuna study.

    Attributes:
        number: the trial's number, counted from 0.
        state: the trial's state.
        params: sampled parameters by name.
        values: values of the objectives; None unless it is complete.
        intermediate_values: validation accuracies by epoch, counted from 1.
        attributes: what the harness stored with it.
    """

    number: Count
    state: Literal["complete", "pruned", "fail", "running", "waiting"]
    params: dict[str, bool | int | float | str | None]
    values: tuple[Finite, ...] | None
    intermediate_values: dict[Annotated[int, Meta(ge=1)], Share]
    attributes: Attributes


def trials(
    frozen: Sequence[FrozenTrial], space: Space, objectives: int, name: str
) -> list[StoredTrial]:
    """Return the trials of a study, each in its place.

    Args:
        frozen: the trials as Optuna read them.
        space: the study's search space.
        objectives: number of objectives.
        name: the storage's name in errors.

    Raises:
        Damaged: a value has a wrong type or leaves its range, or a trial is missing.
    """
    read = [_trial(trial, space, objectives, name) for trial in frozen]
    for number, trial in enumerate(read):
        if trial.number != number:
            raise _damaged(name, f"trial {number}: its number is {trial.number}")
    return read


def _trial(frozen: FrozenTrial, space: Space, objectives: int, name: str) -> StoredTrial:
    content = {
        "number": frozen.number,
        "state": frozen.state.name.lower(),
        "params": frozen.params,
        "values": frozen.values,
        "intermediate_values": frozen.intermediate_values,
        "attributes": frozen.user_attrs,
    }
    try:
        trial = msgspec.convert(content, StoredTrial)
    except msgspec.ValidationError as error:
        what = shown(files.field_error(error))
        raise _damaged(name, f"trial {frozen.number}: {what}") from error
    for dimension in space.dimensions:
        if (wrong := _wrong(trial.params, dimension, space)) is not None:
            raise _damaged(name, f"trial {trial.number}: {shown(wrong)}")
    if trial.state == "complete":
        if trial.values is None or len(trial.values) != objectives:
            raise _damaged(name, f"trial {trial.number}: not {objectives} values of objectives")
        if not 0 <= trial.values[0] <= 1:
            raise _damaged(name, f"trial {trial.number}: its accuracy is {trial.values[0]:g}")
        if missing := {_parameter(d, space) for d in space.dimensions} - trial.params.keys():
            raise _damaged(name, f"trial {trial.number}: it has no {min(missing)}")
    return trial


def _parameter(dimension: Dimension, space: Space) -> str:
    """Return the name under which Optuna samples a dimension."""
    return dimension.name + SHARE if space.bound(dimension.name) else dimension.name


def _wrong(params: Mapping[str, Any], dimension: Dimension, space: Space) -> str | None:
    """Return what is wrong with a trial's parameter; None if it is sound or not yet sampled."""
    name = _parameter(dimension, space)
    if name not in params:
        return None
    value = params[name]
    if isinstance(dimension, Choice):
        return None if value in dimension.choices else f"{name} is {value!r}, which is no choice"
    low, high = (0.0, 1.0) if name != dimension.name else (dimension.low, dimension.high)
    slack = TOLERANCE * (high - low)
    if not isinstance(value, int | float) or not low - slack <= value <= high + slack:
        return f"{name} is {value!r}, outside {low:g} to {high:g}"
    return None


@dataclass(frozen=True, kw_only=True)
class _Part:
    type: str


@dataclass(frozen=True, kw_only=True)
class _Stage:
    phase: str
    recipe: _Part
    method: _Part


@dataclass(frozen=True, kw_only=True)
class _Run:
    stages: list[_Stage]


@dataclass(frozen=True, kw_only=True)
class _Dimension:
    fields: list[Field]


@dataclass(frozen=True, kw_only=True)
class _Space:
    dimensions: dict[str, _Dimension]


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    sampler: Literal["tpe", "cmaes", "random", "grid"]
    pruner: Literal["hyperband", "median", "none"]


@dataclass(frozen=True, kw_only=True)
class _Definition:
    """The parts of a stored definition that are read by name; the rest is only compared."""

    space: _Space
    run: _Run
    drawing: _Drawing
    form: Annotated[int, Meta(ge=migrations.FIRST)] = migrations.FIRST
    objectives: list[str] = field(default_factory=list)


def definition(attributes: Mapping[str, Any], *, has_trials: bool, name: str) -> str | None:
    """Return the text of a study's definition, checked; None for a study that has none yet.

    Raises:
        Damaged: it is no definition, or trials exist without one.
    """
    text = attributes.get("definition")
    if text is None:
        if has_trials:
            raise _damaged(name, "the study has trials but no definition")
        return None
    if not isinstance(text, str):
        raise _damaged(name, "the study's definition is no text")
    try:
        read = files.decode(text, _Definition, name)
        stages = {stage.phase for stage in read.run.stages}
        paths = [path for d in read.space.dimensions.values() for path in d.fields]
    except Damaged as error:
        raise _damaged(name, f"the study's definition {shown(error.what)}") from error
    for path in paths:
        phase, part, _ = path.split(".")
        if phase not in stages or part not in ("recipe", "method"):
            raise _damaged(name, f"the study's definition has the field {shown(path)!r}")
    return text


def _damaged(name: str, what: str) -> Damaged:
    return Damaged(name, f"(the Optuna storage) seems to be damaged: {what}", KEPT)

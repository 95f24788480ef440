"""A sweep under a command's options: checked before any trial, and what its study must agree with.

A trial is a table of one row under the clean split: its stages have keys like any other, so that
a pre-training that exists is found, and nothing is trained twice.
"""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import files, migrations, seed
from harness.canonical import canonical, describe, field_names
from harness.errors import UserError, unknown
from harness.plan import override, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec.recipe import Stage
from harness.spec.space import Choice, Dimension, Space, Value
from harness.spec.sweep import OBJECTIVES, Sweep
from harness.spec.table import Column, Table
from harness.sweep.former import brought_over

CORNERS = 256
"""Extremes of a space that are looked at before the first trial, at most."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How trials are drawn and cut short; None leaves it to the study, or to the default."""

    sampler: str | None = None
    pruner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Design:
    """A sweep under the options of a command, checked.

    Attributes:
        sweep: without the dimensions that ``--set`` fixed.
        base: the plan of the row as it is.
        study: the study's name.
    """

    name: str
    sweep: Sweep
    base: Plan
    study: str

    @property
    def options(self) -> Options:
        """Return profile, folders and overrides."""
        return self.base.options

    @property
    def space(self) -> Space:
        """Return what varies."""
        return self.sweep.space

    @property
    def epochs(self) -> int:
        """Return the epochs of the last stage."""
        return self.base.cell_runs[0].run.stages[-1].recipe.epochs

    def plan(self, values: Mapping[str, Value]) -> Plan:
        """Return the plan of one trial.

        Raises:
            UserError: the values cannot be trained.
        """
        (chain,) = override.apply([self.sweep.row.chain()], settings(self.space, values))
        return plan.make(self.name, _table(self.sweep, chain), self.options)

    def corners(self) -> Iterator[Plan]:
        """Yield the plans of the trials at the extremes of the space.

        Raises:
            UserError: one cannot be trained.
        """
        for values in itertools.islice(self.space.corners(), CORNERS):
            try:
                yield self.plan(values)
            except UserError as error:
                shown = ", ".join(f"{name} {value}" for name, value in values.items())
                raise UserError(f"The sweep {self.name} contains {shown}: {error}") from error

    def definition(self) -> dict[str, Any]:
        """Return what trials must share to be comparable, as plain JSON values.

        The run store is part of it: its claims say which trials are alive.
        """
        run = self.base.cell_runs[0].run.definition()
        space = describe(self.space)
        named = {d["name"]: {**d, "fields": self._published(d)} for d in space["dimensions"]}
        return {
            "space": {**space, "dimensions": named},
            "objectives": list(self.sweep.objectives),
            "run": run,
            "store": _identity(self.options.runs),
            "form": migrations.form(),
        }

    def _published(self, dimension: Mapping[str, Any]) -> list[str]:
        """Return a dimension's paths with the names that keys have for their fields."""
        stages = {stage.phase: stage for stage in self.sweep.row.chain()}
        words = [path.split(".") for path in dimension["fields"]]
        return [
            f"{phase}.{part}.{field_names(type(getattr(stages[phase], part)))[name]}"
            for phase, part, name in words
        ]

    def agree(self, stored: str | None, asked: SearchOptions) -> tuple[SearchOptions, str]:
        """Hold a study's stored definition against this design.

        Args:
            stored: canonical JSON, None for a new study.
            asked: what the command line says of drawing.

        Returns:
            What the study draws with, and the definition to store.

        Raises:
            UserError: they differ, or two objectives are to be pruned.
        """
        found = None if stored is None else brought_over(json.loads(stored))
        old = {} if found is None else found["drawing"]
        several = len(self.sweep.objectives) > 1
        sampler = asked.sampler or old.get("sampler", "tpe")
        usual = "none" if several or sampler == "grid" else "hyperband"
        drawing = SearchOptions(sampler=sampler, pruner=asked.pruner or old.get("pruner", usual))
        if several and drawing.pruner != "none":
            raise UserError("Two objectives cannot be pruned by one; give --pruner none.")
        if drawing.sampler == "grid":
            self.space.grid()  # refuses what has no steps
        drawn = {"sampler": drawing.sampler, "pruner": drawing.pruner}
        text = canonical({**self.definition(), "drawing": drawn})
        if found is not None and found != json.loads(text):
            raise UserError(
                f"The study {self.study!r} is of another sweep:"
                f" {'; '.join(differences(found, json.loads(text)))}."
                " Give --study NAME for a new one."
            )
        return drawing, text

    def points(self) -> list[dict[str, Value]]:
        """Return the grid in the study's order, which is shuffled: a part of it is no corner."""
        grid = list(self.space.grid())
        random.Random(seed.derive("sweep", self.study, "grid")).shuffle(grid)
        return grid

    def next_point(
        self,
        taken: Sequence[Mapping[str, Value]],
        failed: Sequence[Mapping[str, Value]],
        now: Sequence[Mapping[str, Value]],
    ) -> dict[str, Value] | None:
        """Return the first point of the grid that is left; those that failed come last.

        Args:
            taken: finished or under way.
            failed: in any command.
            now: failed in this command: not tried again.
        """
        left = [p for p in self.points() if p not in taken and p not in now]
        return next(iter(sorted(left, key=lambda p: p in failed)), None)


def design(name: str, sweep: Sweep, options: Options, study: str | None = None) -> Design:
    """Check a sweep under options that name one data set and one seed.

    Raises:
        UserError: a field is unknown or a value outside its range, an objective is unknown, the
            row does not end in a classifier that is fine-tuned, or data are missing.
    """
    for objective in sweep.objectives:
        if objective not in OBJECTIVES:
            raise unknown("objective", objective, OBJECTIVES)
    if sweep.objectives[:1] != ("accuracy",) or len(set(sweep.objectives)) < len(sweep.objectives):
        raise UserError("The first objective is accuracy; give each once.")
    for dimension in sweep.space.dimensions:
        for path in dimension.fields:
            if path.count(".") != 2:
                raise UserError(
                    f"Dimension {dimension.name!r}: {path!r} is not of the form"
                    " PHASE.recipe.FIELD or PHASE.method.FIELD."
                )
    base = plan.make(name, _table(sweep, sweep.row.chain()), options)
    kept = replace(sweep, space=_narrowed(sweep, options))
    used = base.columns[0].used.name
    made = Design(
        name=name,
        sweep=kept,
        base=base,
        study=study or f"{name}-{options.profile.name}-{used}-seed{base.seeds[0]}",
    )
    _check(made)
    return made


def _table(sweep: Sweep, chain: Sequence[Stage]) -> Table:
    row = replace(sweep.row, stages=tuple(chain))
    return Table(
        title=sweep.title, source="", rows=(row,), columns=(Column(dataset=sweep.dataset),)
    )


def settings(space: Space, values: Mapping[str, Value]) -> list[str]:
    """Return values as ``--set`` writes them, at the paper's scale."""
    return [f"{path}={_text(values[d.name])}" for d in space.dimensions for path in d.fields]


def _identity(runs: Path) -> str:
    """Return the run store's own name, which moves with it."""
    path = runs / "identity"
    if not path.exists():
        files.write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _narrowed(sweep: Sweep, options: Options) -> Space:
    """Take the dimensions out that ``--set`` fixes."""
    given = [override.parse(o) for o in options.overrides if not o.startswith(override.SWAP + "=")]
    given.sort(key=lambda o: o.phase is None)  # what is said of one phase stands above
    fixed: dict[str, Value] = {}
    for dimension in sweep.space.dimensions:
        hits = [(path, o) for path in dimension.fields for o in given if _names(o, path)]
        missed = [p for p in dimension.fields if p not in [path for path, _ in hits]]
        if hits and missed:
            raise UserError(
                f"--set {hits[0][1]} fixes a part of dimension {dimension.name!r};"
                f" set {', '.join(missed)} too, or none of them."
            )
        if hits:
            fixed[dimension.name] = _value(dimension, hits[0][1].text)
    space = sweep.space.without(fixed)
    if not space.dimensions:
        raise UserError("--set fixes every dimension of the sweep; leave one free.")
    return space


def _names(given: override.Override, path: str) -> bool:
    asked = override.parse(f"{path}=")
    same = (given.part, given.field) == (asked.part, asked.field)
    return same and given.phase in (None, asked.phase)


def _value(dimension: Dimension, text: str) -> Value:
    if isinstance(dimension, Choice):
        return text
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--set: {text!r} is no number for dimension {dimension.name!r}.") from None


def _check(made: Design) -> None:
    """Refuse fields that are not there and values that cannot be, before any trial."""
    for dimension in made.space.dimensions:
        for path in dimension.fields:
            _tried(made, dimension.name, [f"{path}={_text(_first(dimension))}"])
    for _ in made.corners():
        pass


def _first(dimension: Dimension) -> Value:
    return dimension.choices[0] if isinstance(dimension, Choice) else dimension.low


def _tried(made: Design, name: str, overrides: Sequence[str]) -> None:
    """Look for a field alone, so that a message names its dimension."""
    try:
        override.apply([made.sweep.row.chain()], overrides)
    except UserError as error:
        raise UserError(f"Dimension {name!r}: {error}") from error


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Name where two JSON values differ, as "path is OLD in the study, NEW here"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = dict.fromkeys([*old, *new])
        inner = [differences(old.get(n), new.get(n), f"{path}.{n}".strip(".")) for n in names]
        return [line for lines in inner for line in lines]
    if _lists(old) and _lists(new) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        inner = [differences(a, b, f"{path}[{k}]") for k, (a, b) in enumerate(pairs)]
        return [line for lines in inner for line in lines]
    return [] if old == new else [f"{path} is {_brief(old)} in the study, {_brief(new)} here"]


def _lists(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

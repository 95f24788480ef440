"""Design of a study: a sweep under a command's options, checked before any trial.

A trial is a table of one row under the clean split. Its stages have ordinary keys, so that a stage
that several trials share, such as a pre-training, is trained once.
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
from harness.errors import UserError, unknown, within
from harness.plan import override, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec.recipe import Stage
from harness.spec.space import Choice, Dimension, Space, Value
from harness.spec.sweep import OBJECTIVES, Sweep
from harness.spec.table import Column, Table
from harness.sweep.former import brought_over

CORNERS = 256
"""Largest number of corners of a space that are checked before the first trial."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options of how trials are sampled and pruned.

    Attributes:
        sampler: name of the sampler; None for the study's own, or the default.
        pruner: name of the pruner; None for the study's own, or the default.
    """

    sampler: str | None = None
    pruner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Design:
    """Sweep under the options of a command, checked.

    Attributes:
        name: name of the experiment.
        sweep: the sweep, without the dimensions that ``--set`` fixes.
        base: the plan of the row with its own settings.
        study: name of the study.
        changed_objectives: whether a command replaced the sweep's own objectives.
    """

    name: str
    sweep: Sweep
    base: Plan
    study: str
    changed_objectives: bool = False

    @property
    def options(self) -> Options:
        """Options of the plan: profile, folders and overrides."""
        return self.base.options

    @property
    def space(self) -> Space:
        """Search space."""
        return self.sweep.space

    @property
    def epochs(self) -> int:
        """Number of epochs of the last stage."""
        return self.base.cell_runs[0].run.stages[-1].recipe.epochs

    def plan(self, values: Mapping[str, Value]) -> Plan:
        """Return the plan of one trial with the values of its dimensions.

        Raises:
            UserError: the row cannot be trained with these values.
        """
        (chain,) = override.apply([self.sweep.row.chain()], settings(self.space, values))
        return plan.make(self.name, _table(self.sweep, chain), self.options)

    def corners(self) -> Iterator[Plan]:
        """Yield the plans of the trials at the corners of the space.

        Raises:
            UserError: a corner cannot be trained.
        """
        for values in itertools.islice(self.space.corners(), CORNERS):
            try:
                yield self.plan(values)
            except UserError as error:
                shown = ", ".join(f"{name} {value}" for name, value in values.items())
                raise UserError(f"The sweep {self.name} contains {shown}: {error}") from error

    def definition(self) -> dict[str, Any]:
        """Return the settings that all trials of a study have in common, as JSON values.

        They include the run store's identity, since its claims tell which trials are running.
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
        """Return the paths of a dimension's fields, with the fields' names as in keys."""
        stages = {stage.phase: stage for stage in self.sweep.row.chain()}
        words = [path.split(".") for path in dimension["fields"]]
        return [
            f"{phase}.{part}.{field_names(type(getattr(stages[phase], part)))[name]}"
            for phase, part, name in words
        ]

    def agree(self, stored: str | None, requested: SearchOptions) -> tuple[SearchOptions, str]:
        """Check that a study's stored definition matches this design.

        Args:
            stored: the stored definition as canonical JSON; None for a new study.
            requested: sampler and pruner on the command line.

        Returns:
            sampler and pruner of the study, and the definition to store.

        Raises:
            UserError: the definitions differ, or pruning is requested with two objectives.
        """
        old = None if stored is None else brought_over(json.loads(stored))
        old_drawing = {} if old is None else old["drawing"]
        several = len(self.sweep.objectives) > 1
        sampler = requested.sampler or old_drawing.get("sampler", "tpe")
        default = "none" if several or sampler == "grid" else "hyperband"
        pruner = requested.pruner or old_drawing.get("pruner", default)
        drawing = SearchOptions(sampler=sampler, pruner=pruner)
        if several and drawing.pruner != "none":
            raise UserError("A sweep with two objectives cannot be pruned; give --pruner none.")
        if drawing.sampler == "grid":
            self.space.grid()  # raises for a dimension without steps
        new_drawing = {"sampler": drawing.sampler, "pruner": drawing.pruner}
        text = canonical({**self.definition(), "drawing": new_drawing})
        if old is not None and old != json.loads(text):
            raise UserError(
                f"The study {self.study!r} is of another sweep:"
                f" {'; '.join(differences(old, json.loads(text)))}."
                " Give --study NAME for a new one."
            )
        return drawing, text

    def points(self) -> list[dict[str, Value]]:
        """Return the grid's points in a shuffled order, which depends on the study's name only.

        A study that ends early has then tried points from all of the grid, not from one corner.
        """
        grid = list(self.space.grid())
        random.Random(seed.derive("sweep", self.study, "grid")).shuffle(grid)
        return grid

    def next_point(
        self,
        taken: Sequence[Mapping[str, Value]],
        failed: Sequence[Mapping[str, Value]],
        now: Sequence[Mapping[str, Value]],
    ) -> dict[str, Value] | None:
        """Return the grid's next point to try, None if none is left; failed points come last.

        Args:
            taken: points of trials that are finished or running.
            failed: points that failed in any command.
            now: points that failed in this command, which are not tried again.
        """
        candidates = [p for p in self.points() if p not in taken and p not in now]
        return next(iter(sorted(candidates, key=lambda p: p in failed)), None)


def design(name: str, sweep: Sweep, options: Options, study: str | None = None) -> Design:
    """Return the design of a sweep under options that name one data set and one seed.

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
    narrowed = replace(sweep, space=_narrowed(sweep, options))
    checked = Design(name=name, sweep=narrowed, base=base, study=study or default_study(name, base))
    _check(checked)
    return checked


def default_study(name: str, base: Plan) -> str:
    """Return the name of a sweep's study where the user gives none."""
    used = base.columns[0].used.name
    return f"{name}-{base.options.profile.name}-{used}-seed{base.seeds[0]}"


def _table(sweep: Sweep, chain: Sequence[Stage]) -> Table:
    row = replace(sweep.row, stages=tuple(chain))
    return Table(
        title=sweep.title, source="", rows=(row,), columns=(Column(dataset=sweep.dataset),)
    )


def settings(space: Space, values: Mapping[str, Value]) -> list[str]:
    """Return a trial's values as arguments of ``--set``, at the paper's scale."""
    return [f"{path}={_text(values[d.name])}" for d in space.dimensions for path in d.fields]


def _identity(runs: Path) -> str:
    """Return the run store's identifier, a file in it that is created when it is first needed."""
    path = runs / "identity"
    if not path.exists():
        files.write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _narrowed(sweep: Sweep, options: Options) -> Space:
    """Return the sweep's space without the dimensions that ``--set`` fixes."""
    overrides = [
        override.parse(o) for o in options.overrides if not o.startswith(override.SWAP + "=")
    ]
    overrides.sort(key=lambda o: o.phase is None)  # those of one phase take precedence
    fixed: dict[str, Value] = {}
    for dimension in sweep.space.dimensions:
        hits = [(path, o) for path in dimension.fields for o in overrides if _names(o, path)]
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


def _names(override_: override.Override, path: str) -> bool:
    """Whether an override applies to the field at a path."""
    target = override.parse(f"{path}=")
    same = (override_.part, override_.field) == (target.part, target.field)
    return same and override_.phase in (None, target.phase)


def _value(dimension: Dimension, text: str) -> Value:
    if isinstance(dimension, Choice):
        return text
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--set: {text!r} is no number for dimension {dimension.name!r}.") from None


def _check(checked: Design) -> None:
    """Check, before any trial, that all fields exist and the corners of the space are valid."""
    for dimension in checked.space.dimensions:
        for path in dimension.fields:
            _check_override(checked, dimension.name, [f"{path}={_text(_first(dimension))}"])
            with within(f"Dimension {dimension.name!r}"):
                for value in _ends(dimension):
                    override.check_range(checked.sweep.row.chain(), f"{path}={_text(value)}")
    for _ in checked.corners():
        pass


def _first(dimension: Dimension) -> Value:
    return dimension.choices[0] if isinstance(dimension, Choice) else dimension.low


def _ends(dimension: Dimension) -> Sequence[Value]:
    """Return the values between which all others of a dimension are."""
    if isinstance(dimension, Choice):
        return dimension.choices
    return dimension.low, dimension.high


def _check_override(checked: Design, name: str, overrides: Sequence[str]) -> None:
    """Apply the override of one field, so that an error can name its dimension."""
    try:
        override.apply([checked.sweep.row.chain()], overrides)
    except UserError as error:
        raise UserError(f"Dimension {name!r}: {error}") from error


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return where two JSON values differ, as lines "path is OLD in the study, NEW here"."""
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

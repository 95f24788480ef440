"""The methods of a file, a table, a plug-in or a name, as they are checked."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import ranges
from harness.canonical import canonical
from harness.check.subject import Subject, small_recipe
from harness.errors import UserError, unknown
from harness.plan import catalog
from harness.sources import offers
from harness.sources.modules import is_house_module
from harness.spec.profile import Profile
from harness.spec.recipe import Method, Recipe, Stage
from harness.spec.sweep import Sweep
from harness.spec.table import Row, Table


@dataclass(frozen=True, kw_only=True)
class Found:
    """A method that was found.

    Attributes:
        title: its type, and the row and phase where it stands in a table.
        method: its settings.
        recipe: of its stage; None where it stands in no table.
        phase: of its stage.
        previous: the method of the stage before.
    """

    title: str
    method: Method
    recipe: Recipe | None = None
    phase: Any = "pretrain"
    previous: Method | None = None

    @property
    def ships(self) -> bool:
        """Whether its type belongs to the harness."""
        return is_house_module(type(self.method).__module__)

    @property
    def follows_own(self) -> bool:
        """Whether the stage before it is a user's method."""
        before = self.previous
        return before is not None and not is_house_module(type(before).__module__)

    def subject(self, profile: Profile) -> Subject:
        """Return what is checked under a profile.

        Raises:
            UserError: the settings do not fit the profile.
        """
        stage = Stage(phase=self.phase, method=self.method, recipe=self.recipe or small_recipe())
        # A check says that a type is no dataclass.
        scaled = profile.scaled(stage) if dataclasses.is_dataclass(self.method) else stage
        ranges.check_all(scaled)
        return Subject(
            method=scaled.method,
            backbones=profile.backbones,
            recipe=small_recipe(scaled.recipe),
            previous=self.previous,
        )


def find(name: str) -> tuple[Found, ...]:
    """Return the methods of a file, of a table, or of a name.

    Args:
        name: path of a file, name of an experiment or of a method.

    Raises:
        UserError: there is none, or its file cannot be loaded.
    """
    found = tuple(_distinct(_of(name)))
    if not found:
        raise UserError(
            f"{name} has no method: give a file with a class of settings that has build, or with a"
            " table (EXPERIMENT) whose rows have stages."
        )
    return found


def _of(name: str) -> Iterator[Found]:
    if name.endswith(".py") or "/" in name:
        if not Path(name).is_file():
            raise UserError(f"No file {name!r}; give the path of a file that exists, or a name.")
        path = Path(name)
        offer = offers.Offer(kind="method", name=path.stem, origin=f"file {path}", path=path)
        yield from _of_thing(offer.load(), path)
        return
    shipped = catalog.methods()
    offer_found = offers.find(name, ("method",), shipped)
    if offer_found is not None:
        yield from _of_thing(offer_found.load(), Path(name))
    elif name in catalog.known():
        yield from _of_experiment(catalog.find(name)[1])
    elif name in shipped:
        package = "msmae" if name == "msmae" else "baselines"
        stem = shipped[name].path.stem
        yield from _of_module(importlib.import_module(f"harness.methods.{package}.{stem}"))
    else:
        known = [*catalog.known(), *shipped, *(o.name for o in offers.of("method"))]
        raise unknown("method or experiment", name, known)


def _of_thing(thing: object, path: Path) -> Iterator[Found]:
    """Yield the methods of a module, of a type of settings, or of settings."""
    if isinstance(thing, ModuleType):
        if hasattr(thing, "EXPERIMENT"):
            yield from _of_experiment(catalog.experiment_of(thing, path))
        yield from _of_module(thing)
    elif isinstance(thing, type):
        yield _of_type(thing)
    elif isinstance(thing, Method):
        yield Found(title=type(thing).__qualname__, method=thing)
    else:
        raise UserError(
            f"{path} is a {type(thing).__name__}; a method is a type of settings with build."
        )


def _of_module(module: ModuleType) -> Iterator[Found]:
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and "build" in vars(kind):
            yield _of_type(kind)


def _of_type(kind: type) -> Found:
    """Return a type of settings with its defaults."""
    required = [
        field.name
        for field in (dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ())
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if required:
        raise UserError(
            f"{kind.__qualname__} has no defaults for {', '.join(required)}; give them, or check a"
            " table that has a row with it."
        )
    return Found(title=kind.__qualname__, method=kind())


def _of_experiment(experiment: Table | Sweep) -> Iterator[Found]:
    rows = (experiment.row,) if isinstance(experiment, Sweep) else experiment.rows
    for row in rows:
        yield from _of_chain(row, row.stages or ())
        for stage in row.finetunes.values():
            yield from _of_chain(row, (*(row.stages or ())[:-1], stage))


def _of_chain(row: Row, stages: tuple[Stage, ...]) -> Iterator[Found]:
    for before, stage in zip((None, *stages), stages, strict=False):
        yield Found(
            title=f"{type(stage.method).__qualname__} (row {row.name}, {stage.phase})",
            method=stage.method,
            recipe=stage.recipe,
            phase=stage.phase,
            previous=None if before is None else before.method,
        )


def _distinct(found: Iterator[Found]) -> Iterator[Found]:
    """Yield methods that differ, or follow others; types without a place only if no row has one."""
    seen: set[str] = set()
    kinds: set[type] = set()
    for one in found:
        try:
            mark = canonical([one.method, one.previous])
        except (TypeError, ValueError):  # a check says so
            mark = f"{type(one.method)} {id(one.method)}"
        if mark in seen or (one.recipe is None and type(one.method) in kinds):
            continue
        seen.add(mark)
        kinds.add(type(one.method))
        yield one

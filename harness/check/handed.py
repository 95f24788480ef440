"""What a method is built from: copies of its own, which say afterwards whether it changed them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from harness.canonical import describe
from harness.errors import listed
from harness.spec.backbones import BACKBONES, Backbone, BackboneSizes
from harness.spec.recipe import Method, backbone_of

T = TypeVar("T")


class ChangedSettingsError(RuntimeError):
    """A method changed what its key was made of, so that the key names another training."""


class Handed:
    """Settings and sizes for one training alone.

    Attributes:
        method: a copy of the settings.
        backbones: a copy of the profile's sizes.
    """

    def __init__(self, method: Method, backbones: BackboneSizes) -> None:
        """Copy what the plan holds."""
        declared = backbone_of(method)
        self.method = _copy(method)
        self.backbones = _own_sizes(backbones, declared)
        self._before = _facts(self.method, self.backbones, declared)
        self._declared = declared

    def check(self) -> None:
        """Check that the settings are those that the key was made of.

        Raises:
            ChangedSettingsError: they are not.
        """
        after = _facts(self.method, self.backbones, self._declared)
        changed = [name for name in after if after[name] != self._before.get(name)]
        changed += [name for name in self._before if name not in after]
        if changed:
            raise ChangedSettingsError(
                f"it changed its settings while it was trained ({listed(changed)}), so that its key"
                " names another training; keep in the task what changes"
            )


def _copy(value: T) -> T:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 (a stranger's type that has no copy is handed over itself)
        return value


def _own_sizes(backbones: BackboneSizes, declared: Backbone[Any] | None) -> BackboneSizes:
    """Return sizes whose objects no other stage has; those of a scale are shared otherwise."""
    given = dict(backbones.given)
    for backbone in (*BACKBONES.values(), *([] if declared is None else [declared])):
        if backbone.name not in given and backbones.scale in backbone.sizes:
            given[backbone.name] = backbone.sizes[backbones.scale]
    return dataclasses.replace(backbones, given=_copy(given))


def _facts(
    method: Method, backbones: BackboneSizes, declared: Backbone[Any] | None
) -> Mapping[str, str]:
    """Return settings, and the size that the method may read, as texts by name."""
    values: dict[str, Any] = {"backbones.image_size": backbones.image_size}
    if declared is not None:
        values[f"backbones.{declared.name}"] = backbones.given.get(declared.name)
    settings: Any = method
    if dataclasses.is_dataclass(settings):
        values |= {f.name: getattr(settings, f.name, None) for f in dataclasses.fields(settings)}
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    try:
        return repr(describe(value, complete=True))
    except (TypeError, ValueError):
        return repr(type(value))

"""Registry of data sets: modules of ``sets/`` and entry points of installed packages.

A module of ``sets/`` contributes its ``DATASET`` or ``DATASETS``.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from harness.errors import unknown
from harness.sources import plugins
from harness.spec.dataset import Dataset

FAMILIES = "phantom"
"""Name that stands for all generated data sets."""


@functools.cache
def datasets() -> dict[str, Dataset]:
    """Return all data sets by name, in alphabetical order."""
    loaded: list[Dataset] = []
    for path in sorted((Path(__file__).parent / "sets").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        # Modules that only hold shared code are not imported.
        if not text.count("\nDATASET = ") and not text.count("\nDATASETS = "):
            continue
        module = importlib.import_module(f"{__package__}.sets.{path.stem}")
        loaded += getattr(module, "DATASETS", ()) or (module.DATASET,)
    loaded += [plugins.load(entry) for entry in plugins.entries("dataset").values()]
    return {d.name: d for d in sorted(loaded, key=lambda d: d.name)}


def find(name: str) -> Dataset:
    """Return a data set by name.

    Raises:
        UserError: no data set has that name.
    """
    known = datasets()
    if name not in known:
        raise unknown("data set", name, [*known, FAMILIES])
    return known[name]


def expand(name: str) -> tuple[Dataset, ...]:
    """Return the data sets of a name: all generated ones for "phantom", otherwise one."""
    if name == FAMILIES:
        return tuple(d for d in datasets().values() if d.name.startswith(f"{FAMILIES}-"))
    return (find(name),)

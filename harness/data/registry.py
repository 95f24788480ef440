"""Find data sets: every module of ``sets/`` that defines ``DATASET`` or ``DATASETS``."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from harness.errors import unknown
from harness.sources import plugins
from harness.spec.dataset import Dataset

FAMILIES = "phantom"
"""The name that stands for all generated families."""


@functools.cache
def datasets() -> dict[str, Dataset]:
    """Return all data sets by name, in alphabetical order."""
    found: list[Dataset] = []
    for path in sorted((Path(__file__).parent / "sets").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        # Only data sets are imported, not what they share.
        if not text.count("\nDATASET = ") and not text.count("\nDATASETS = "):
            continue
        module = importlib.import_module(f"{__package__}.sets.{path.stem}")
        found += getattr(module, "DATASETS", ()) or (module.DATASET,)
    found += [plugins.load(entry) for entry in plugins.entries("dataset").values()]
    return {d.name: d for d in sorted(found, key=lambda d: d.name)}


def find(name: str) -> Dataset:
    """Return a data set by name.

    Raises:
        UserError: there is none of that name.
    """
    known = datasets()
    if name not in known:
        raise unknown("data set", name, [*known, FAMILIES])
    return known[name]


def expand(name: str) -> tuple[Dataset, ...]:
    """Return the data sets that a name stands for: "phantom" for all families, else itself."""
    if name == FAMILIES:
        return tuple(d for d in datasets().values() if d.name.startswith(f"{FAMILIES}-"))
    return (find(name),)

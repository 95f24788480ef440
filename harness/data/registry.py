"""Registry of data sets: modules of ``sets/`` and those of plug-ins.

A module of ``sets/`` contributes its ``DATASET`` or ``DATASETS``.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from harness.data import own
from harness.errors import UserError
from harness.sources import offers
from harness.spec.dataset import Dataset

FAMILIES = "phantom"
"""Name that stands for all generated data sets."""


def datasets(root: Path | None = None) -> dict[str, Dataset]:
    """Return all data sets by name, in alphabetical order.

    Args:
        root: folder of the data stores, whose users' data sets are included; None for none.
            Those whose file is not valid are left out, see ``problems``.
    """
    users = {} if root is None else _users(root)
    valid = {name: found for name, found in users.items() if isinstance(found, Dataset)}
    return dict(sorted({**valid, **shipped()}.items()))


def problems(root: Path) -> list[str]:
    """Return a line for each user's data set whose file is not valid."""
    return [str(found) for found in _users(root).values() if isinstance(found, UserError)]


def _users(root: Path) -> dict[str, Dataset | UserError]:
    found: dict[str, Dataset | UserError] = {}
    for name in own.names(root):
        try:
            found[name] = find(name, root)
        except UserError as error:
            found[name] = error
    return found


def shipped() -> dict[str, Dataset]:
    """Return the data sets of the harness and of plug-ins by name, in order."""
    return dict(sorted({**built_in(), **plugged().values}.items()))


def plugged() -> offers.Loaded:
    """Return the data sets of plug-ins."""
    return offers.loaded("dataset", built_in(), (Dataset,))


@functools.cache
def built_in() -> dict[str, Dataset]:
    """Return the data sets of the harness by name, in order."""
    loaded: list[Dataset] = []
    for path in sorted((Path(__file__).parent / "sets").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        # Modules that only hold shared code are not imported.
        if not text.count("\nDATASET = ") and not text.count("\nDATASETS = "):
            continue
        module = importlib.import_module(f"{__package__}.sets.{path.stem}")
        loaded += getattr(module, "DATASETS", ()) or (module.DATASET,)
    return {d.name: d for d in sorted(loaded, key=lambda d: d.name)}


def find(name: str, root: Path | None = None) -> Dataset:
    """Return a data set by name.

    Args:
        name: of the data set.
        root: folder of the data stores, whose users' data sets are included; None for none.

    Raises:
        UserError: no data set has that name, or several have it.
    """
    known, plugins = shipped(), plugged()
    users = [] if root is None else own.names(root)
    if name in plugins.values and name in users:
        raise UserError(
            f"The data set {name!r} comes from {root} and from {plugins.origins[name]}; rename one,"
            " or leave its plug-in out."
        )
    if name in known and name not in plugins.problems:
        return known[name]
    described = own.read(root, name) if root is not None and name in users else None
    if root is None or described is None:
        raise plugins.missing("data set", name, [*known, *users, FAMILIES])
    return own.dataset(root, name, described)


def expand(name: str, root: Path | None = None) -> tuple[Dataset, ...]:
    """Return the data sets of a name: all generated ones for "phantom", otherwise one."""
    if name == FAMILIES:
        return tuple(d for d in shipped().values() if d.name.startswith(f"{FAMILIES}-"))
    return (find(name, root),)

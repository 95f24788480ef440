"""The counted cost of a stage on its own number of training images; it is counted once.

Stages that differ in their seed alone have one cost. It is kept in this process and in the run
store, ``costs/DIGEST.json``, by the digest of all that it depends on: settings, sizes, number of
images and classes, the sources of method and counting, versions of packages. A file that cannot be
used is counted anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import cost, files, sealed
from harness.canonical import describe, digest
from harness.check.handed import Handed
from harness.data import registry
from harness.errors import Damaged, UserError
from harness.execute.failure import FAILURES, let_through, one_line
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.spec.dataset import Dataset
from harness.store import form
from harness.store.result import Provenance, StageCost, to_json

_KNOWN: dict[str, StageCost] = {}
"""Costs by digest."""


def dataset_of(step: StageRun, images: int, data: Path) -> Dataset:
    """Return a stage's data set with the number of training images that are used.

    That number is smaller than the data set's own under a profile's subset or the clean split.
    """
    dataset = registry.find(step.run.dataset, data)
    return replace(dataset, sizes={**dataset.sizes, "train": images})


def counted(step: StageRun, images: int, options: Options, made: Provenance) -> StageCost:
    """Count a stage's cost; if that fails, the result holds the error instead.

    Args:
        step: the stage.
        images: number of its training images.
        options: of the command.
        made: whose sources and versions train the stage.

    Raises:
        UserError: the run store cannot be written.
    """
    dataset = dataset_of(step, images, options.data)
    name = _name(step, dataset, options, made)
    path = options.runs / "costs" / f"{name}.json"
    if (known := _KNOWN.get(name) or _read(path)) is not None:
        _KNOWN[name] = known
        return known
    found = _count(step, dataset, options)
    if found.error is None:
        form.mark(options.runs)
        files.write_bytes(path, sealed.seal(to_json(found)))
        _KNOWN[name] = found
    return found


def _name(step: StageRun, dataset: Dataset, options: Options, made: Provenance) -> str:
    stage = step.stage
    content: dict[str, Any] = {
        "phase": stage.phase,
        "method": describe(stage.method, complete=True),
        "recipe": describe(stage.recipe, complete=True),
        "backbones": repr(options.profile.backbones),
        "classes": len(dataset.classes),
        "images": dataset.sizes["train"],
        "sources": made.sources,
        "counting": _sources(),
        "versions": dict(made.versions),
    }
    return digest(content)


@functools.cache
def _sources() -> str:
    """Return the SHA-256 of the sources that count."""
    folder = Path(str(cost.__file__)).parent
    content = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def _read(path: Path) -> StageCost | None:
    """Return the cost in a file; None where there is none that can be used."""
    with contextlib.suppress(FileNotFoundError, Damaged, UserError):
        content = files.read_bytes(path)
        if sealed.whole(content):
            return files.decode(content, StageCost, path)
    return None


def _count(step: StageRun, dataset: Dataset, options: Options) -> StageCost:
    from harness.cost.stage import of_stage

    try:
        handed = Handed(step.stage.method, options.profile.backbones)
        stage = replace(step.stage, method=handed.method)
        return of_stage(stage, dataset, handed.backbones)
    except FAILURES as failure:
        let_through(failure)
        return StageCost(error=one_line(failure))

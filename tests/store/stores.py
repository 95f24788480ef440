"""Small run stores and migrations for tests."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import files, migrations
from harness.canonical import digest
from harness.migrations import Migration
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from tests import records as planted

RENAMING = Migration(
    types={"test.own": "test.mine"},
    fields={"test.mine": {"share": "mask_share"}},
    added={"test.mine": {"rule": "plain"}},
)
"""A type is renamed, its field is, too, and it gets another."""


def use(patch: pytest.MonkeyPatch, *steps: Migration) -> None:
    """Let the present form be as many steps later than the first."""
    patch.setattr(migrations, "MIGRATIONS", steps)


def definition(share: float = 0.5, *, stages: int = 2, seed: int = 0) -> dict[str, Any]:
    """Return a definition of form 2."""
    recipe = {"type": "recipe", "epochs": 1, "base_lr": 1e-3}
    method = {"type": "test.own", "share": share}
    chain = [
        {"phase": "pretrain", "method": method, "recipe": recipe, "backbone": None},
        {"phase": "finetune", "method": {"type": "finetune"}, "recipe": recipe, "backbone": None},
    ]
    return {
        "dataset": "btmd",
        "data": "d",
        "split": "paper",
        "stages": chain[:stages],
        "seed": seed,
    }


def after(share: float = 0.5, *, stages: int = 2, seed: int = 0) -> dict[str, Any]:
    """Return the same definition as ``RENAMING`` writes it, put down by hand."""
    found = definition(share, stages=stages, seed=seed)
    found["stages"][0]["method"] = {"type": "test.mine", "mask_share": share, "rule": "plain"}
    return found


def state(seed: float) -> dict[str, Any]:
    """Return what an unfinished stage keeps."""
    return {"task": {"w": torch.full((3,), seed)}, "optimizer": {}, "history": [], "memory": {}}


def plant(folder: Path) -> Path:
    """Make a store of the present form: a finished chain, a failed stage, one under way."""
    records = Records(folder)
    for number in (1, 2):
        defined = definition(stages=number)
        key = digest(defined)
        weights = Checkpoints(folder, key).finish({"w": torch.full((3,), float(number))})
        predictions = None
        if number == 2:
            records.write_predictions(key, {"probability": np.eye(3)})
            predictions = "p" * 64
        write(records, defined, weights=weights, predictions=predictions)
    write(records, definition(0.9, stages=1), error="DivergedError: no")
    started = definition(0.7, stages=1)
    Checkpoints(folder, digest(started), definition=started).save(state(7.0))
    files.write_json(folder / "latency" / f"{digest(timed())}.json", {"definition": timed()})
    return folder


def plant_old(folder: Path, patch: pytest.MonkeyPatch, *steps: Migration) -> Path:
    """Make a store of form 2, where the present form is some steps later."""
    use(patch)
    plant(folder)
    use(patch, *steps)
    return folder


def timed() -> dict[str, Any]:
    """Return what defines a timing, in form 2."""
    stages = [{"type": "Stage", "method": {"type": "test.own", "share": 0.5}}]
    return {"stages": stages, "processes": 3}


def write(
    records: Records, defined: dict[str, Any], *, error: str | None = None, **result: Any
) -> Path:
    """Write a record; ``result`` changes fields of its result."""
    made = planted.record(digest(defined), defined, failed=error)
    if made.result is not None:
        made = dataclasses.replace(made, result=dataclasses.replace(made.result, **result))
    return records.write(made)


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file, and the name of every folder."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(folder.rglob("*"))
    }

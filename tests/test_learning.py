"""Every pre-training learns: a linear probe beats the same probe on a random encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import catalog, evaluate, images, profiles, seed
from harness.checkpoint import Checkpoints
from harness.data import phantom, registry
from harness.data.store import open_store
from harness.loop import Job, fit

pytestmark = pytest.mark.slow

ROWS = ("mocov3", "contrastivecrop", "simclr", "mae", "simmim", "amt", "msmae")
FAMILY = "phantom-mri"
SEEDS = (0, 1, 2)


@pytest.mark.parametrize("name", ROWS)
def test_a_linear_probe_beats_the_one_on_a_random_encoder(name: str, tmp_path: Path) -> None:
    """Mean over three seeds, on the phantom family after the smoke profile's pre-training."""
    _, table = catalog.load("table1")
    (row,) = (r for r in table.rows if r.name == name)
    assert row.stages is not None
    stage = profiles.SMOKE.scaled(row.stages[0])
    phantom.ensure(tmp_path, FAMILY)
    store = open_store(tmp_path, FAMILY)
    device = torch.device("cpu")
    train, test = (
        images.load(store.part("paper", part), profiles.SMOKE, device) for part in ("train", "eval")
    )
    dataset = replace(registry.find(FAMILY), sizes={"train": len(train), "eval": len(test)})
    gains = []
    for number in SEEDS:
        key = f"{name}/{number}"
        with seed.third_party(key, "build"):
            task = stage.method.build(dataset, profiles.SMOKE.encoders)
        classes = len(dataset.classes)
        before = evaluate.probes(task, train, test, classes=classes)["linear"]["last"]["correct"]
        checkpoints = Checkpoints(tmp_path, f"{name}-{number}")
        fit(Job(task=task, recipe=stage.recipe, train=train, key=key, checkpoints=checkpoints))
        after = evaluate.probes(task, train, test, classes=classes)["linear"]["last"]["correct"]
        gains.append((before, after))
    print(name, "correct of", len(test), "before and after:", gains)
    assert sum(after for _, after in gains) > sum(before for before, _ in gains)

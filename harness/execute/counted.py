"""The counted cost of a stage on its own number of training images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.check.handed import Handed
from harness.data import registry
from harness.execute.failure import FAILURES, let_through, one_line
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.spec.dataset import Dataset
from harness.store.result import StageCost


def dataset_of(step: StageRun, images: int, data: Path) -> Dataset:
    """Return a stage's data set with the number of training images that are used.

    That number is smaller than the data set's own under a profile's subset or the clean split.
    """
    dataset = registry.find(step.run.dataset, data)
    return replace(dataset, sizes={**dataset.sizes, "train": images})


def counted(step: StageRun, images: int, options: Options) -> StageCost:
    """Count a stage's cost; if that fails, the result holds the error instead."""
    from harness.cost.stage import of_stage

    try:
        handed = Handed(step.stage.method, options.profile.backbones)
        stage = replace(step.stage, method=handed.method)
        return of_stage(stage, dataset_of(step, images, options.data), handed.backbones)
    except FAILURES as failure:
        let_through(failure)
        return StageCost(error=one_line(failure))

"""Which module evaluates a task: labels or masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from harness import evaluate, segmentation
from harness.images import Images
from harness.task import Task


class Judge(Protocol):
    """What a module that evaluates has."""

    def evaluator(
        self, task: Task, reported: Images, selected_on: Images, memory: dict[str, Any]
    ) -> Callable[[int], dict[str, float]]:
        """Return what the loop calls after every epoch; findings go into ``memory``."""
        ...

    def summary(self, memory: dict[str, Any], images: Images, epochs: int) -> dict[str, Any]:
        """Return the evaluation part of a record."""
        ...

    def arrays(self, memory: dict[str, Any], images: Images) -> dict[str, np.ndarray]:
        """Return the per-image predictions that are kept beside the record."""
        ...


def of(task: Task) -> Judge | None:
    """Return what evaluates a task; None for a pre-training."""
    if task.segments:
        return segmentation
    return evaluate if task.classifies else None

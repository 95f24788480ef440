"""What evaluates a task: after every epoch, and into a record when training is over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from harness.store.result import Evaluation, Rule
from harness.train.images import Images
from harness.train.task import Task


class Evaluator(ABC):
    """Evaluate a task after every epoch and keep what it predicts at the last and best epoch.

    The best epoch is the first one with the highest criterion on ``selected_on``: the reported
    images themselves under the paper's rule, a validation part under the clean split.
    """

    criterion: ClassVar[str]
    """Name of the metric that the best epoch is the best in."""

    def __init__(self, task: Task, reported: Images, selected_on: Images) -> None:
        """Begin before the first epoch.

        Args:
            task: under training.
            reported: images that the record tells of.
            selected_on: images that the best epoch is selected on; may be ``reported`` itself.
        """
        self.task = task
        self.reported = reported
        self.selected_on = selected_on
        self._kept: dict[Rule, Tensor] = {}
        self._best_criterion = -1.0
        self._best_epoch = 0

    @abstractmethod
    def predict(self, images: Images) -> Tensor:
        """Return the task's present predictions for all images in order, on the CPU, (N, ...)."""

    @abstractmethod
    def scores(self, predicted: Tensor, images: Images) -> Mapping[str, float]:
        """Return the metrics that are followed from epoch to epoch, in natural units."""

    @abstractmethod
    def summary(self, epochs: int) -> Evaluation:
        """Return the evaluation of a training that has run for ``epochs``, for its record."""

    @abstractmethod
    def predictions(self) -> dict[str, np.ndarray]:
        """Return what is kept beside the record, by image in order.

        Under "last" and "best" is what the metrics are computed from at those epochs; see
        ``harness.evaluate.registry.from_predictions``.
        """

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Evaluate the task and return figures for the epoch's history."""
        last = self.predict(self.reported)
        scores = self.scores(last, self.reported)
        figures = {f"eval/{name}": value for name, value in scores.items()}
        if self.selected_on is not self.reported:
            scores = self.scores(self.predict(self.selected_on), self.selected_on)
            figures |= {f"validation/{name}": value for name, value in scores.items()}
        self._kept["last"] = last
        if scores[self.criterion] > self._best_criterion:
            self._kept["best"] = last
            self._best_criterion, self._best_epoch = scores[self.criterion], epoch
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Return what must survive a kill after an epoch, as plain values and tensors."""
        return {
            "last": self._kept["last"],
            "best": self._kept["best"],
            "best_criterion": self._best_criterion,
            "best_epoch": self._best_epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state_dict`` returned."""
        self._kept = {"last": state["last"], "best": state["best"]}
        self._best_criterion = state["best_criterion"]
        self._best_epoch = state["best_epoch"]

    def kept(self, rule: Rule) -> Tensor:
        """Return the predictions of the epoch that a rule selects."""
        return self._kept[rule]

    def epoch_of(self, rule: Rule, epochs: int) -> int:
        """Return the epoch (0-based) that a rule selects of ``epochs``."""
        return epochs - 1 if rule == "last" else self._best_epoch

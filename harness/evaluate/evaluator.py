"""The base class of evaluators, which score a task after epochs and for its record."""

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
    """Score a task after epochs and keep its predictions of the last and best epoch.

    The best epoch is the first one with the highest criterion on ``selected_on``: the reported
    images themselves under the paper's rule, a validation part under the clean split. It is not
    known where an epoch was not evaluated, which might have been better.
    """

    criterion: ClassVar[str]
    """Name of the metric whose highest value selects the best epoch."""

    def __init__(self, task: Task, reported: Images, selected_on: Images) -> None:
        """Begin before the first epoch.

        Args:
            task: the model under training.
            reported: images whose metrics are reported.
            selected_on: images that select the best epoch; may be ``reported`` itself.
        """
        self.task = task
        self.reported = reported
        self.selected_on = selected_on
        self._predictions: dict[Rule, Tensor] = {}
        self._best_criterion = -1.0  # below any accuracy or IoU
        self._best_epoch = 0
        self._complete = True

    @abstractmethod
    def predict(self, images: Images) -> Tensor:
        """Return the task's current predictions for all images in order, on the CPU, (N, ...)."""

    @abstractmethod
    def scores(self, predicted: Tensor, images: Images) -> Mapping[str, float]:
        """Return the metrics that are computed after an epoch, by name, in natural units."""

    @abstractmethod
    def summary(self, epochs: int) -> Evaluation:
        """Return the evaluation to record for a training that has run for ``epochs``.

        Its best epoch is None where ``knows`` says so.
        """

    @abstractmethod
    def predictions(self) -> dict[str, np.ndarray]:
        """Return the arrays to store beside the record, with one row per image in order.

        "last" and "best" hold the predictions of those epochs, from which every metric can be
        computed again; see ``harness.evaluate.registry.from_predictions``. "best" is left out where
        that epoch is not known.
        """

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Evaluate the task and return figures for the epoch's history.

        They are named "eval/METRIC" on the reported images and, where others select the epoch,
        "validation/METRIC" on those.
        """
        last = self.predict(self.reported)
        scores = self.scores(last, self.reported)
        figures = {f"eval/{name}": value for name, value in scores.items()}
        if self.selected_on is not self.reported:
            scores = self.scores(self.predict(self.selected_on), self.selected_on)
            figures |= {f"validation/{name}": value for name, value in scores.items()}
        # The predictions of the best epoch are those on the reported images, whichever images
        # select it. ">" keeps the first of several equal epochs.
        self._predictions["last"] = last
        if scores[self.criterion] > self._best_criterion:
            self._predictions["best"] = last
            self._best_criterion, self._best_epoch = scores[self.criterion], epoch
        return figures

    def left_out(self) -> None:
        """Be told that an epoch was finished and is not evaluated."""
        self._complete = False
        self._predictions.clear()  # the last epoch is evaluated, and no other one's are needed

    def knows(self, rule: Rule) -> bool:
        """Whether the epoch that a rule selects is known: the best only of all epochs."""
        return rule == "last" or self._complete

    def state_dict(self) -> dict[str, Any]:
        """Return the state to checkpoint after an epoch, as plain values and tensors."""
        return {
            **{str(rule): predicted for rule, predicted in self._predictions.items()},
            "best_criterion": self._best_criterion,
            "best_epoch": self._best_epoch,
            "complete": self._complete,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned."""
        rules: tuple[Rule, ...] = ("last", "best")
        self._complete = state.get("complete", True)  # every epoch was evaluated before it was kept
        self._predictions = {rule: state[rule] for rule in rules if rule in state}
        if self._complete and len(self._predictions) < len(rules):
            raise LookupError("it lacks predictions")
        self._best_criterion = state["best_criterion"]
        self._best_epoch = state["best_epoch"]

    def predictions_at(self, rule: Rule) -> Tensor:
        """Return the predictions on the reported images at the epoch that a rule selects."""
        return self._predictions[rule]

    def epoch_of(self, rule: Rule, epochs: int) -> int:
        """Return the epoch (0-based) that a rule selects from ``epochs`` epochs."""
        return epochs - 1 if rule == "last" else self._best_epoch

"""Evaluate a classifier by its class probabilities, and probe a pre-trained encoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.evaluate import metrics, probe
from harness.evaluate.evaluator import Evaluator
from harness.store.result import EpochEvaluation, Evaluation, Rule
from harness.train.images import Images
from harness.train.loop import look
from harness.train.task import Task


def probabilities(task: Task, images: Images) -> Tensor:
    """Return class probabilities (N, K) float32 on the CPU, for all images in order."""
    logits = look(task, images, task.predict, task.evaluation)
    return logits.float().softmax(1).cpu()


class ClassificationEvaluator(Evaluator):
    """Evaluate class probabilities (N, K) against labels; accuracy selects the best epoch."""

    criterion = "accuracy"

    def predict(self, images: Images) -> Tensor:
        """Return class probabilities (N, K) float32."""
        return probabilities(self.task, images)

    def scores(self, predicted: Tensor, images: Images) -> dict[str, float]:
        """Return every metric of probabilities (N, K)."""
        return metrics.evaluate(predicted.numpy(), images.labels.cpu().numpy())

    def summary(self, epochs: int) -> Evaluation:
        """Return metrics and counts at the last and at the best epoch."""
        labels = self.reported.labels.cpu().numpy()
        counts = np.bincount(labels, minlength=self.kept("last").shape[1])
        return Evaluation(
            n=len(labels),
            classes=tuple(counts.tolist()),
            last=self._at("last", epochs),
            best=self._at("best", epochs),
        )

    def _at(self, rule: Rule, epochs: int) -> EpochEvaluation:
        predicted = self.kept(rule)
        choice = predicted.argmax(1)
        return EpochEvaluation(
            epoch=self.epoch_of(rule, epochs),
            metrics=self.scores(predicted, self.reported),
            correct=int((choice == self.reported.labels.cpu()).sum()),
            collapsed=bool(metrics.collapsed(choice.numpy())),
        )

    def predictions(self) -> dict[str, np.ndarray]:
        """Return the per-image predictions that paired tests need."""
        return {
            "last": self.kept("last").numpy(),
            "best": self.kept("best").numpy(),
            "labels": self.reported.labels.cpu().numpy(),
            "names": np.asarray(self.reported.names),
        }


def probes(task: Task, train: Images, reported: Images, *, classes: int) -> dict[str, Evaluation]:
    """Return what probes of the frozen encoder reach on the reported images."""
    train_set, test_set = (
        (look(task, images, task.features).float().cpu(), images.labels.cpu())
        for images in (train, reported)
    )
    return probe.measure(train_set, test_set, classes)


def count_parameters(task: torch.nn.Module) -> dict[str, int]:
    """Count parameters: all, and those that are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in task.parameters()]
    return {"total": sum(n for n, _ in sizes), "trainable": sum(n for n, t in sizes if t)}

"""Evaluation of classifiers by class probabilities, and of pre-trained encoders by probes."""

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
    # Softmax in float32: bfloat16 has 8 significant bits, so that many scores would tie in an AUC.
    return logits.float().softmax(1).cpu()


class ClassificationEvaluator(Evaluator):
    """Evaluator of class probabilities (N, K) against labels; accuracy selects the best epoch."""

    criterion = "accuracy"

    def predict(self, images: Images) -> Tensor:
        """Return class probabilities (N, K) float32."""
        return probabilities(self.task, images)

    def scores(self, predicted: Tensor, images: Images) -> dict[str, float]:
        """Return every metric of class probabilities (N, K), by name."""
        return metrics.evaluate(predicted.numpy(), images.labels.cpu().numpy())

    def summary(self, epochs: int) -> Evaluation:
        """Return metrics and counts of images at the last and at the best epoch."""
        labels = self.reported.labels.cpu().numpy()
        counts = np.bincount(labels, minlength=self.predictions_at("last").shape[1])
        return Evaluation(
            n=len(labels),
            classes=tuple(counts.tolist()),
            last=self._at("last", epochs),
            best=self._at("best", epochs) if self.knows("best") else None,
        )

    def _at(self, rule: Rule, epochs: int) -> EpochEvaluation:
        predicted = self.predictions_at(rule)  # (N, K)
        classes = predicted.argmax(1)  # (N,); of equal probabilities the first, as in metrics
        return EpochEvaluation(
            epoch=self.epoch_of(rule, epochs),
            metrics=self.scores(predicted, self.reported),
            correct=int((classes == self.reported.labels.cpu()).sum()),
            collapsed=bool(metrics.collapsed(classes.numpy())),
        )

    def predictions(self) -> dict[str, np.ndarray]:
        """Return "last" and "best" probabilities (N, K), "labels" (N,) and "names" (N,)."""
        rules: tuple[Rule, ...] = ("last", "best")
        return {
            **{rule: self.predictions_at(rule).numpy() for rule in rules if self.knows(rule)},
            "labels": self.reported.labels.cpu().numpy(),
            "names": np.asarray(self.reported.names),
        }


def probes(task: Task, train: Images, reported: Images, *, classes: int) -> dict[str, Evaluation]:
    """Evaluate probes of the frozen encoder on the reported images.

    Args:
        task: a pre-training with ``features``.
        train: images that the probes are fitted on.
        reported: images that they are evaluated on.
        classes: K.

    Returns:
        an evaluation by name of the probe.
    """
    # Unaugmented images and an encoder in eval mode: each image has one feature vector (D,).
    train_set, test_set = (
        (look(task, images, task.features).float().cpu(), images.labels.cpu())
        for images in (train, reported)
    )
    return probe.measure(train_set, test_set, classes)


def count_parameters(task: torch.nn.Module) -> dict[str, int]:
    """Return the numbers of all parameters ("total") and of trained ones ("trainable")."""
    sizes = [(p.numel(), p.requires_grad) for p in task.parameters()]
    return {"total": sum(n for n, _ in sizes), "trainable": sum(n for n, t in sizes if t)}

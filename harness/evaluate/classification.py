"""Evaluate a classifier after every epoch and keep the predictions of the last and best epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.evaluate import metrics, probe
from harness.train.images import Images
from harness.train.loop import look
from harness.train.task import Task


def probabilities(task: Task, images: Images) -> Tensor:
    """Return class probabilities (N, K) float32 on the CPU, for all images in order."""
    logits = look(task, images, task.predict, task.evaluation)
    return logits.float().softmax(1).cpu()


def evaluator(
    task: Task, reported: Images, selected_on: Images, memory: dict[str, Any]
) -> Callable[[int], dict[str, float]]:
    """Return the function that the loop calls after every epoch.

    ``memory`` receives "last", "best" (N, K) and "best_epoch". The best epoch is the first one
    with the highest accuracy on ``selected_on``: the reported images themselves under the
    paper's rule, a validation part under the clean split.
    """

    def after_epoch(epoch: int) -> dict[str, float]:
        last = probabilities(task, reported)
        figures = {f"eval/{k}": v for k, v in scores(last, reported).items()}
        criterion = figures["eval/accuracy"]
        if selected_on is not reported:
            validation = scores(probabilities(task, selected_on), selected_on)
            figures |= {f"validation/{k}": v for k, v in validation.items()}
            criterion = validation["accuracy"]
        memory["last"] = last
        if criterion > memory.get("best_criterion", -1.0):
            memory.update(best=last, best_criterion=criterion, best_epoch=epoch)
        return figures

    return after_epoch


def scores(predicted: Tensor, images: Images) -> dict[str, float]:
    """Return every metric of probabilities (N, K), in natural units."""
    return metrics.evaluate(predicted.numpy(), images.labels.cpu().numpy())


def summary(memory: dict[str, Any], images: Images, epochs: int) -> dict[str, Any]:
    """Return the evaluation part of a record: metrics at the last and at the best epoch."""
    labels = images.labels.cpu().numpy()
    last, best = memory["last"], memory["best"]
    counts = np.bincount(labels, minlength=last.shape[1])
    return {
        "n": len(labels),
        "classes": counts.tolist(),
        "last": {"epoch": epochs - 1, **_point(last, images)},
        "best": {"epoch": int(memory["best_epoch"]), **_point(best, images)},
    }


def _point(predicted: Tensor, images: Images) -> dict[str, Any]:
    choice = predicted.argmax(1)
    return {
        "metrics": scores(predicted, images),
        "correct": int((choice == images.labels.cpu()).sum()),
        "collapsed": bool(metrics.collapsed(choice.numpy())),
    }


def probes(task: Task, train: Images, reported: Images, *, classes: int) -> dict[str, Any]:
    """Return what probes of the frozen encoder reach on the reported images."""
    train_set, test_set = (
        (look(task, images, task.features).float().cpu(), images.labels.cpu())
        for images in (train, reported)
    )
    return probe.measure(train_set, test_set, classes)


def arrays(memory: dict[str, Any], images: Images) -> dict[str, np.ndarray]:
    """Return the per-image predictions that paired tests need."""
    return {
        "last": memory["last"].numpy(),
        "best": memory["best"].numpy(),
        "labels": images.labels.cpu().numpy(),
        "names": np.asarray(images.names),
    }


def count_parameters(task: torch.nn.Module) -> dict[str, int]:
    """Count parameters: all, and those that are trained."""
    sizes = [(p.numel(), p.requires_grad) for p in task.parameters()]
    return {"total": sum(n for n, _ in sizes), "trainable": sum(n for n, t in sizes if t)}


def digest(values: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 (hex) over names, shapes and contents of arrays."""
    total = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        total.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()

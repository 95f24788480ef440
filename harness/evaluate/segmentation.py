"""Evaluate a segmenter after every epoch and keep the masks of the last and best epoch.

Masks are compared at the size of the model's input. Where they are kept they are packed, one bit
a pixel: 233 images of 224 x 224 take 1.5 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.evaluate import overlap
from harness.train.images import Images
from harness.train.loop import look
from harness.train.task import Task

EVALUATION_BATCH = 8
"""Images at once: decoders of full resolution take tens of megabytes an image and layer."""

POINTS = ("last", "best")


def predicted(task: Task, images: Images) -> np.ndarray:
    """Return the predicted masks (N, H, W) bool of all images in order.

    Raises:
        ValueError: a logit is not finite.
    """

    def decide(batch: Tensor) -> Tensor:
        logits = task.segment(batch).float()
        found = (logits.sigmoid() > task.threshold).to(torch.uint8)
        return torch.where(torch.isfinite(logits), found, 2)

    found = look(task, images, decide, batch_size=EVALUATION_BATCH)[:, 0].cpu().numpy()
    if found.max(initial=0) > 1:
        raise ValueError("Some logits are not finite; the model has diverged.")
    return found.astype(bool)


def evaluator(
    task: Task, reported: Images, selected_on: Images, memory: dict[str, Any]
) -> Callable[[int], dict[str, float]]:
    """Return the function that the loop calls after every epoch.

    ``memory`` receives "last" and "best" (packed masks) and "best_epoch". The best epoch is the
    first one with the highest IoU per image on ``selected_on``: the reported images themselves
    under the paper's rule, a validation part under the clean split.
    """
    truth = reported.truth()
    validation = truth if selected_on is reported else selected_on.truth()

    def after_epoch(epoch: int) -> dict[str, float]:
        last = predicted(task, reported)
        scores = overlap.from_counts(overlap.count(last, truth))
        figures = {f"eval/{name}": value for name, value in scores.items()}
        criterion = scores["iou"]
        if selected_on is not reported:
            counts = overlap.count(predicted(task, selected_on), validation)
            scores = overlap.from_counts(counts)
            figures |= {f"validation/{name}": value for name, value in scores.items()}
            criterion = scores["iou"]
        memory["last"] = torch.from_numpy(pack(last))
        if criterion > memory.get("best_criterion", -1.0):
            memory.update(best=memory["last"], best_criterion=criterion, best_epoch=epoch)
        return figures

    return after_epoch


def pack(masks: np.ndarray) -> np.ndarray:
    """Pack masks (n, H, W) bool into (n, ceil(H W / 8)) uint8."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def unpack(packed: np.ndarray, side: int) -> np.ndarray:
    """Return packed masks as (n, side, side) bool."""
    flat = np.unpackbits(packed, axis=1, count=side * side)
    return flat.reshape(len(packed), side, side).astype(bool)


def summary(memory: dict[str, Any], images: Images, epochs: int) -> dict[str, Any]:
    """Return the evaluation part of a record: metrics at the last and at the best epoch.

    A metric is None where it is undefined, see ``harness.evaluate.overlap``.
    """
    truth = images.truth()
    when = {"last": epochs - 1, "best": int(memory["best_epoch"])}
    return {
        "n": len(truth),
        "classes": torch.bincount(images.labels.cpu()).tolist(),
        "lesions": int(truth.any((1, 2)).sum()),
        **{at: {"epoch": when[at], **_point(_masks(memory, at, images), truth)} for at in POINTS},
    }


def _point(masks: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    return {
        "metrics": overlap.evaluate(masks, truth),
        "collapsed": overlap.collapsed(masks),
    }


def _masks(memory: Mapping[str, Any], at: str, images: Images) -> np.ndarray:
    return unpack(memory[at].numpy(), images.size)


def arrays(memory: dict[str, Any], images: Images) -> dict[str, np.ndarray]:
    """Return what tests of pairs and figures need, by image in order.

    "last", "best" and "truth" are packed masks, see ``unpack``; "side" is their side in pixels.
    "last_f1", "last_iou", "last_hd95" and likewise "best" are per image; an undefined distance is
    not a number. "lesion" says whether the truth has one, beside "labels" and "names".
    """
    truth = images.truth()
    found = {
        "truth": pack(truth),
        "side": np.asarray(images.size),
        "lesion": np.asarray(truth.any((1, 2))),
        "labels": images.labels.cpu().numpy(),
        "names": np.asarray(images.names),
    }
    for at in POINTS:
        masks = _masks(memory, at, images)
        counts = overlap.count(masks, truth)
        apart = [np.nan if d is None else d for d in overlap.distances(masks, truth)]
        found[at] = memory[at].numpy()
        found[f"{at}_f1"] = overlap.f1_by_image(counts)
        found[f"{at}_iou"] = overlap.iou_by_image(counts)
        found[f"{at}_hd95"] = np.asarray(apart, np.float64)
    return found

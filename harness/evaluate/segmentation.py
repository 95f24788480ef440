"""Evaluation of segmenters by their predicted masks.

Masks are compared at the size of the model's input. They are stored packed, one bit per pixel:
233 images of 224 x 224 take 1.5 MB.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.evaluate import overlap
from harness.evaluate.evaluator import Evaluator
from harness.store.result import EpochEvaluation, Evaluation, Rule
from harness.train.images import Images
from harness.train.loop import look
from harness.train.task import Task

EVALUATION_BATCH = 8
"""Images per forward pass: full-resolution decoders take tens of megabytes per image and layer."""

RULES: tuple[Rule, ...] = ("last", "best")


def predicted(task: Task, images: Images) -> np.ndarray:
    """Return the predicted masks (N, H, W) bool of all images in order.

    Raises:
        ValueError: a logit is not finite, or the task asks for central crops.
    """
    if task.evaluation == "centre-crop":
        raise ValueError("Masks are compared on whole images; evaluation cannot be 'centre-crop'.")

    def decide(batch: Tensor) -> Tensor:
        logits = task.segment(batch).float()  # (B, 1, H, W)
        lesion = (logits.sigmoid() > task.threshold).to(torch.uint8)
        # 2 marks a logit that is not finite; one check after the last batch avoids a host sync
        # per batch.
        return torch.where(torch.isfinite(logits), lesion, 2)

    looked = look(task, images, decide, task.evaluation, batch_size=EVALUATION_BATCH)
    masks = looked[:, 0].cpu().numpy()
    if masks.max(initial=0) > 1:
        raise ValueError("Some logits are not finite; the model has diverged.")
    return masks.astype(bool)


def pack(masks: np.ndarray) -> np.ndarray:
    """Pack masks (n, H, W) bool into (n, ceil(H W / 8)) uint8."""
    return np.packbits(masks.reshape(len(masks), -1), axis=1)


def unpack(packed: np.ndarray, side: int) -> np.ndarray:
    """Return packed masks as (n, side, side) bool."""
    flat = np.unpackbits(packed, axis=1, count=side * side)
    return flat.reshape(len(packed), side, side).astype(bool)


class SegmentationEvaluator(Evaluator):
    """Evaluator of masks, stored as packed bits; the mean IoU per image selects the best epoch."""

    criterion = "iou"

    def __init__(self, task: Task, reported: Images, selected_on: Images) -> None:
        """Begin before the first epoch; both parts of the data must have masks."""
        super().__init__(task, reported, selected_on)
        self._truth = reported.truth(task.nearest)
        self._validation = (
            self._truth if selected_on is reported else selected_on.truth(task.nearest)
        )

    def predict(self, images: Images) -> Tensor:
        """Return packed masks (N, ceil(H W / 8)) uint8, see ``unpack``."""
        return torch.from_numpy(pack(predicted(self.task, images)))

    def scores(self, predicted: Tensor, images: Images) -> dict[str, float]:
        """Return every metric of packed masks except the distances, which are slow."""
        truth = self._truth if images is self.reported else self._validation
        masks = unpack(predicted.numpy(), images.size)
        return overlap.from_counts(overlap.count(masks, truth))

    def summary(self, epochs: int) -> Evaluation:
        """Return metrics at the last and at the best epoch; None where one is undefined."""
        return Evaluation(
            n=len(self._truth),
            classes=tuple(torch.bincount(self.reported.labels.cpu()).tolist()),
            lesions=int(self._truth.any((1, 2)).sum()),
            last=self._at("last", epochs),
            best=self._at("best", epochs) if self.knows("best") else None,
        )

    def _at(self, rule: Rule, epochs: int) -> EpochEvaluation:
        masks = self._masks(rule)
        return EpochEvaluation(
            epoch=self.epoch_of(rule, epochs),
            metrics=overlap.evaluate(masks, self._truth),
            collapsed=overlap.collapsed(masks),
        )

    def _masks(self, rule: Rule) -> np.ndarray:
        return unpack(self.predictions_at(rule).numpy(), self.reported.size)

    def predictions(self) -> dict[str, np.ndarray]:
        """Return the arrays that paired tests and figures use, with one row per image in order.

        "last", "best" and "truth" are packed masks, see ``unpack``; "side" is their side in
        pixels. "last_f1", "last_iou", "last_hd95", "last_hd95_max" and likewise "best" are per
        image; an undefined distance is NaN. "lesion" is whether the reference has one; "labels"
        and "names" are those of the images.
        """
        arrays = {
            "truth": pack(self._truth),
            "side": np.asarray(self.reported.size),
            "lesion": np.asarray(self._truth.any((1, 2))),
            "labels": self.reported.labels.cpu().numpy(),
            "names": np.asarray(self.reported.names),
        }
        for rule in filter(self.knows, RULES):
            masks = self._masks(rule)
            counts = overlap.count(masks, self._truth)
            distances = overlap.distances(masks, self._truth)
            arrays[rule] = self.predictions_at(rule).numpy()
            arrays[f"{rule}_f1"] = overlap.f1_by_image(counts)
            arrays[f"{rule}_iou"] = overlap.iou_by_image(counts)
            for name, part in zip(overlap.DISTANCES, ("pooled", "larger"), strict=True):
                arrays[f"{rule}_{name}"] = np.asarray(
                    [np.nan if d is None else getattr(d, part) for d in distances], np.float64
                )
        return arrays

"""Released segmentation against its sources: initial weights of the head, and how it resizes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from harness.augment.view import MEAN, STD
from harness.canonical import describe
from harness.evaluate.segmentation import SegmentationEvaluator, predicted, unpack
from harness.methods.msmae import paper
from harness.methods.msmae.segmentation import ROTATION, Segment
from harness.train.images import Images, draw_batch
from harness.train.task import Task
from tests import tiny
from tests.segment_cases import segmenter

WIDE = dataclasses.replace(
    tiny.ENCODERS,
    given={"vit": dataclasses.replace(tiny.ENCODERS.vit, width=768, depth=1, heads=12, patch=16)},
)
"""One block as wide as ViT-B's, so that the head is the paper's."""

RELEASED = paper.SEGMENT_RELEASED


@pytest.mark.parametrize(
    ("settings", "stds"),
    [
        # torch: uniform in ± 1 / sqrt(9 * channels in), so 1 / sqrt(27 * 768) = 0.00694 and
        # 1 / sqrt(27 * 256) = 0.01203. mmseg: sqrt(2 / (9 * 256)) = 0.02946, the last 0.01.
        (RELEASED, [0.00694, 0.01203, 0.01203, 0.01203, 0.01203]),
        (dataclasses.replace(RELEASED, head_init="mmseg"), [0.02946] * 4 + [0.01]),
        (paper.SEGMENT, [0.02946] * 4 + [0.01]),
    ],
    ids=["released", "released but mmseg's", "described"],
)
def test_initial_weights_of_the_head(settings: Segment, stds: list[float]) -> None:
    torch.manual_seed(0)
    head = settings.build(tiny.dataset(), WIDE).network.decode_head  # type: ignore[union-attr]
    layers = [*(step[0].conv for step in head.up_convs), head.conv_seg]  # type: ignore[union-attr]
    assert len(layers) == 5
    for layer, std in zip(layers, stds, strict=True):
        weight = layer.weight.detach()
        # The last layer has 256 or 2304 weights, so that its deviation is uncertain.
        tolerance = 0.1 if weight.numel() < 3000 else 0.01
        assert float(weight.std()) == pytest.approx(std, rel=tolerance)
        if settings.head_init == "torch":
            bound = 1 / math.sqrt(weight[0].numel())
            assert 0.98 * bound < float(weight.abs().max()) <= bound
    bias = float(layers[-1].bias.detach())
    assert (bias != 0) == (settings.head_init == "torch")
    assert abs(bias) <= 1 / math.sqrt(9 * 256)


def test_the_head_s_initialisation_leaves_the_encoder_s_draws_alone() -> None:
    states = []
    for start in ("torch", "mmseg"):
        torch.manual_seed(0)
        settings = dataclasses.replace(RELEASED, head_init=start)  # type: ignore[arg-type]
        states.append(segmenter(settings).encoder.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _stored() -> tuple[Images, np.ndarray, np.ndarray]:
    """Return noise with masks of noise, as they are stored: twice the size of the input."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (32, 64, 64), dtype=np.uint8)
    masks = random.integers(0, 2, (32, 64, 64), dtype=np.uint8)
    images = Images(
        pixels=torch.from_numpy(pixels)[:, None],
        labels=torch.zeros(32, dtype=torch.int64),
        sizes=torch.full((32, 2), 64),
        names=tuple(map(str, range(32))),
        size=32,
        masks=torch.from_numpy(masks)[:, None],
    )
    return images, pixels, masks


def _resized(pixels: np.ndarray, mask: np.ndarray, turns: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotate and resize as the released code does, and return an image and its mask."""
    cv2: Any = pytest.importorskip("cv2")
    turned, turned_mask = (np.ascontiguousarray(np.rot90(a, turns)) for a in (pixels, mask))
    image = cv2.resize(turned.astype(np.float32), (32, 32), interpolation=cv2.INTER_LINEAR)
    return image, cv2.resize(turned_mask, (32, 32), interpolation=cv2.INTER_NEAREST)


def test_released_images_and_masks_are_resized_as_opencv_does() -> None:
    """In training, after the rotation, and in evaluation; images and masks are turned alike."""
    images, pixels, masks = _stored()
    task = segmenter(RELEASED)
    batch = draw_batch(task, images, torch.arange(32), tiny.progress())
    assert batch.masks is not None
    turns = []
    for number in range(32):
        shown = (batch.images[0, number, 0] * STD[0] + MEAN[0]).numpy() * 255
        mask = batch.masks[0, number, 0].numpy()
        expected = [_resized(pixels[number], masks[number], k) for k in range(4)]
        fits = [
            bool(np.abs(shown - image).max() < 0.01) and np.array_equal(mask, truth)
            for image, truth in expected
        ]
        assert sum(fits) == 1
        turns.append(fits.index(True))
    assert len(set(turns)) == 4
    whole = torch.cat([*images.evaluated(task.evaluation)])[:, 0] * STD[0] + MEAN[0]
    truth = images.truth(task.nearest)
    for number in range(32):
        image, mask = _resized(pixels[number], masks[number], 0)
        np.testing.assert_allclose(whole[number].numpy() * 255, image, atol=0.01)
        np.testing.assert_array_equal(truth[number], mask.astype(bool))


class _Brightness(Task):
    """Predicts a lesion where the image that it is given is brighter than the mean."""

    augmentations = (ROTATION,)

    def segment(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1]


@pytest.mark.parametrize("own_validation", [False, True])
def test_evaluators_resize_images_and_masks_as_the_task_says(own_validation: bool) -> None:
    images, pixels, masks = _stored()
    task = _Brightness()
    task.evaluation, task.nearest = "stretch-opencv", "corner"
    other = dataclasses.replace(images) if own_validation else images
    evaluator = SegmentationEvaluator(task, images, other)
    figures = evaluator.after_epoch(0)
    if own_validation:
        assert figures["validation/iou"] == figures["eval/iou"]
    arrays = evaluator.predictions()
    expected = [_resized(pixels[number], masks[number], 0) for number in range(32)]
    truth = np.stack([mask for _, mask in expected]).astype(bool)
    np.testing.assert_array_equal(unpack(arrays["truth"], 32), truth)
    shown = np.stack([image for image, _ in expected]) / 255
    # Within a tenth of a grey level of the mean, rounding decides.
    clear = np.abs(shown - MEAN[0]) > 0.1 / 255
    np.testing.assert_array_equal(unpack(arrays["last"], 32)[clear], (shown > MEAN[0])[clear])


def test_masks_are_not_compared_on_central_crops() -> None:
    task = _Brightness()
    task.evaluation = "centre-crop"
    with pytest.raises(ValueError, match="compared on whole images"):
        predicted(task, _stored()[0])


def test_described_segmentation_goes_on_as_before() -> None:
    images, _, masks = _stored()
    task = segmenter(paper.SEGMENT)
    assert (task.evaluation, task.nearest) == ("stretch", "centre")
    assert task.augmentations == (ROTATION,)
    np.testing.assert_array_equal(images.truth(task.nearest), masks[:, 1::2, 1::2].astype(bool))
    added = {"head_init", "image_resize", "mask_resize"}
    assert not added & set(describe(paper.SEGMENT))
    assert added <= set(describe(RELEASED))

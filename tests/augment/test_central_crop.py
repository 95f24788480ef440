"""The central crop against torchvision on PIL images, and who gets which evaluation transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from harness.augment import central_crop, view
from harness.evaluate import classification
from harness.train import loop
from harness.train.images import Images
from harness.train.task import Task


def _smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = [np.sin(5 * x + 2 * y), np.cos(4 * y), np.sin(6 * x * y)]
    return (127.5 + 120 * np.stack(planes, -1)).astype(np.uint8)


def _reference(picture: np.ndarray, size: int) -> Tensor:
    transform = v2.Compose(
        [
            v2.Resize(int(256 / 224 * size), v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(size),
        ]
    )
    image = transform(Image.fromarray(picture))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


@pytest.mark.parametrize("shape", [(90, 131), (131, 90), (300, 255), (64, 64)])
def test_the_box_is_torchvisions_resize_then_crop(shape: tuple[int, int]) -> None:
    """Cut out of the original itself: to two units, what two roundings of PIL leave.

    Values keep away from 0 and 255, where PIL clips between its two passes.
    """
    picture = np.random.default_rng(0).integers(60, 196, (*shape, 3), dtype=np.uint8)
    size = 32
    boxes = central_crop.boxes(torch.tensor([shape]), size)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    found = view.cut(pixels, boxes, torch.tensor([False]), size, "bicubic").clamp(0, 255)
    assert float((found[0] - _reference(picture, size)).abs().max()) <= 2


def test_boxes_by_hand() -> None:
    # The short side of 100 x 200 becomes 256, the long one 512; the crop of 224 begins at 16, 144.
    found = central_crop.boxes(torch.tensor([[100, 200]]), 224)
    expected = torch.tensor([[16 / 256, 144 / 512, 224 / 256, 224 / 512]])
    torch.testing.assert_close(found, expected)


def test_a_stretched_store_gives_the_same_crop() -> None:
    height, width = 96, 150
    picture = _smooth(height, width)
    stretched = Image.fromarray(picture).resize((128, 128), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(stretched)).permute(2, 0, 1)[None]
    found = central_crop.crop(pixels, torch.tensor([[height, width]]), 64)
    expected = view.normalise(_reference(picture, 64)[None])
    assert float((found - expected).abs().max()) < 0.06  # three of 255 values


class _Mean(Task):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)

    def predict(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


def test_a_task_names_the_transform_of_its_evaluation_alone() -> None:
    ramp = (torch.arange(64) ** 2 // 16).byte().expand(2, 3, 64, 64)
    images = Images(
        pixels=ramp,
        labels=torch.tensor([0, 1]),
        sizes=torch.tensor([[64, 64], [64, 192]]),
        names=("a", "b"),
        size=32,
    )
    task = _Mean()
    whole = torch.cat([batch.mean((2, 3)) for batch in images.stretched()])
    centred = torch.cat([batch.mean((2, 3)) for batch in images.evaluated("centre-crop")])
    torch.testing.assert_close(classification.probabilities(task, images), whole.softmax(1))
    task.evaluation = "centre-crop"
    assert not torch.allclose(whole, centred, atol=1e-4)
    torch.testing.assert_close(classification.probabilities(task, images), centred.softmax(1))
    # Maps are of the whole image: crops are cut out of them in its fractions.
    torch.testing.assert_close(loop.look(task, images, task.predict), whole)

"""Crops, flips and resampling against PIL, hand computation and torchvision's distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.augment import rotate, view
from harness.augment.erasing import Erasing
from harness.augment.randaugment import RandAugment
from harness.augment.random_crop import random_boxes
from harness.augment.view import Augmentation, RotatingAugmentation
from harness.canonical import describe
from harness.train.images import Images, draw_batch
from harness.train.task import Task
from tests import tiny

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def _picture(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (1, 1, height, width), generator=generator).float()


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [(0, 0, 40, 56), (3, 5, 20, 31), (10, 8, 9, 12)])
def test_cut_is_pil_crop_then_resize(name: str, box: tuple[int, int, int, int]) -> None:
    picture = _picture(40, 56)
    top, left, height, width = box
    image = Image.fromarray(picture[0, 0].numpy())
    expected = image.crop((left, top, left + width, top + height)).resize((16, 16), FILTERS[name])
    fractions = torch.tensor([[top / 40, left / 56, height / 40, width / 56]])
    found = view.cut(
        picture,
        fractions,
        torch.tensor([False]),
        16,
        name,  # type: ignore[arg-type]
        confine=True,
    )
    np.testing.assert_allclose(found[0, 0].numpy(), np.asarray(expected), atol=0.02)


def test_flip_mirrors_left_to_right() -> None:
    picture = _picture(8, 8)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    plain = view.cut(picture, whole, torch.tensor([False]), 8)
    mirrored = view.cut(picture, whole, torch.tensor([True]), 8)
    torch.testing.assert_close(plain, picture)
    torch.testing.assert_close(mirrored, picture.flip(3))


def test_each_image_gets_its_own_box() -> None:
    pictures = torch.cat([_picture(8, 8), _picture(8, 8)])
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]])
    found = view.cut(pictures, boxes, torch.tensor([False, False]), 4, confine=True)
    torch.testing.assert_close(found[0], pictures[0, :, :4, :4])
    torch.testing.assert_close(found[1], pictures[1, :, 4:, 4:])


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(2, 900),
    width=st.integers(2, 900),
    low=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**31),
)
def test_boxes_lie_inside_the_image_on_whole_pixels(
    height: int, width: int, low: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([[height, width]] * 16)
    boxes = random_boxes(sizes, Augmentation(scale=(low, 1.0)), generator)
    pixels = boxes * torch.tensor([height, width, height, width])
    torch.testing.assert_close(pixels, pixels.round(), atol=1e-6, rtol=0)
    top, left, h, w = pixels.unbind(1)
    assert bool(
        (h >= 1).all() and (w >= 1).all() and (top >= -1e-6).all() and (left >= -1e-6).all()
    )
    assert bool((top + h <= height + 1e-6).all() and (left + w <= width + 1e-6).all())


def test_boxes_have_the_distribution_of_random_resized_crop() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[400, 400]]).expand(4000, 2)
    boxes = random_boxes(sizes, Augmentation(scale=(0.2, 0.5)), generator)
    area = (boxes[:, 2] * boxes[:, 3]).numpy()
    aspect = np.log((boxes[:, 3] / boxes[:, 2]).numpy())
    assert abs(area.mean() - 0.35) < 0.01
    assert abs(area.std() - 0.3 / 12**0.5) < 0.005
    assert abs(aspect.mean()) < 0.01
    assert abs(aspect.std() - np.log(16 / 9) / 12**0.5) < 0.01


def test_impossible_crops_fall_back_to_the_centre() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[10, 1000]])
    box = random_boxes(sizes, Augmentation(scale=(0.9, 1.0)), generator)[0]
    height, width = float(box[2]) * 10, float(box[3]) * 1000
    assert height == 10
    assert width == pytest.approx(13)  # the widest aspect, 4/3, of ten pixels
    assert float(box[1]) * 1000 == pytest.approx((1000 - 13) // 2)


def test_evaluation_transform_stretches_and_normalises() -> None:
    grey = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    found = view.stretch(grey, 4)
    assert found.shape == (2, 3, 4, 4)
    for channel, (mean, std) in enumerate(zip(view.MEAN, view.STD, strict=True)):
        torch.testing.assert_close(found[:, channel], torch.full((2, 4, 4), (1 - mean) / std))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_range", ["normalised", "unit"])
def test_crops_at_once_are_those_of_augment_and_finish(
    channels: int, image_range: view.ImageRange
) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (40, channels, 64, 64)
    held = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    rows = torch.randperm(40, generator=generator)[:33]  # more than are cut at once
    boxes = random_boxes(torch.full((33, 2), 64), Augmentation(), generator).float()
    flips = torch.rand(33, generator=generator) < 0.5
    cut = view.augment(held[rows], boxes, flips, 32, Augmentation())
    expected = view.finish(cut, image_range=image_range)
    taps = view.axes(boxes, flips, (64, 32), "bicubic", confine=True)
    assert torch.equal(view.crops(held, rows, taps, image_range), expected)
    assert torch.equal(view.crops(held[rows], None, taps, image_range), expected)


def test_what_is_off_draws_nothing_and_changes_nothing() -> None:
    """Streams, and so the numbers, of all that exists do not depend on what others can do."""
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    drawn = view.draw(Augmentation(), 8, 32, generator)
    assert drawn == view.Drawn()
    assert torch.equal(generator.get_state(), before)
    pixels = torch.randint(0, 256, (8, 1, 64, 64), generator=generator, dtype=torch.uint8)
    boxes = random_boxes(torch.full((8, 2), 64), Augmentation(), generator).float()
    flips = torch.zeros(8, dtype=torch.bool)
    plain = view.view(pixels, boxes, flips, 32, Augmentation())
    assert torch.equal(view.view(pixels, boxes, flips, 32, Augmentation(), drawn), plain)


def test_strong_views_change_grey_images_as_their_three_channel_copies() -> None:
    settings = Augmentation(
        operations=RandAugment(probability=1.0), erasing=Erasing(probability=1.0)
    )
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (16, 1, 64, 64), generator=generator, dtype=torch.uint8)
    boxes = random_boxes(torch.full((16, 2), 64), settings, generator).float()
    flips = torch.zeros(16, dtype=torch.bool)
    drawn = view.draw(settings, 16, 32, generator)
    alone = view.view(pixels, boxes, flips, 32, settings, drawn)
    copies = view.view(pixels.expand(-1, 3, -1, -1), boxes, flips, 32, settings, drawn)
    assert torch.equal(alone, copies)
    plain = view.view(pixels, boxes, flips, 32, settings)
    assert bool(((alone != plain).flatten(1).any(1)).all())
    # Noise comes after normalisation: outside the rectangle values are those of pixels.
    assert drawn.erasing is not None
    erased = drawn.erasing.rectangles[:, 2:].prod(1).double() / 32**2
    mean = torch.tensor(view.MEAN)[:, None, None]
    values = (alone * torch.tensor(view.STD)[:, None, None] + mean) * 255
    whole = ((values - values.round()).abs() < 1e-3).all(1).double().mean((1, 2))
    torch.testing.assert_close(whole, 1 - erased, atol=0.002, rtol=0)


def test_quarter_turns_are_those_of_torch() -> None:
    pictures = torch.cat([_picture(8, 8) + i for i in range(4)])
    found = rotate.apply(pictures, torch.arange(4))
    for number in range(4):
        assert torch.equal(found[number], torch.rot90(pictures[number], number, (1, 2)))


def test_five_of_eight_images_stay_upright() -> None:
    """Turned with probability 0.5, and one turn in four is the one by 0 degrees."""
    drawn = rotate.draw(8000, torch.Generator().manual_seed(0))
    shares = (torch.bincount(drawn, minlength=4) / len(drawn)).tolist()
    assert shares == pytest.approx([5 / 8, 1 / 8, 1 / 8, 1 / 8], abs=0.02)


def test_views_that_may_turn_have_a_key_of_their_own_and_may_stay_upright() -> None:
    plain, turning = Augmentation(), RotatingAugmentation()
    assert set(describe(plain)) == set(describe(turning)) - {"rotation"}
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    upright = RotatingAugmentation(rotation="none")
    assert view.draw(upright, 8, 32, generator) == view.Drawn()
    assert torch.equal(generator.get_state(), before)
    assert view.draw(turning, 8, 32, generator).turns is not None


class _Segmenter(Task):
    """Its views are cropped, mirrored and turned."""

    def __init__(self, scale: tuple[float, float]) -> None:
        super().__init__()
        settings = RotatingAugmentation(scale=scale, interpolation="bilinear")
        self.augmentations = (settings, settings)

    def segment(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1]


def _shapes(count: int, side: int, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images that are white where their masks are set: rectangles off the centre."""
    masks = torch.zeros(count, 1, side, side, dtype=torch.uint8)
    for row in range(count):
        top, left = 3 * row % (side // 2), 5 * row % (side // 3)
        masks[row, :, top : top + side // 2, left : left + side // 3] = 1
    return (masks * 255).expand(-1, channels, -1, -1), masks


@settings(max_examples=20, deadline=None)
@given(low=st.floats(0.2, 1.0), seed=st.integers(0, 2**31), channels=st.sampled_from([1, 3]))
def test_masks_are_cut_and_turned_with_their_images(low: float, seed: int, channels: int) -> None:
    pixels, masks = _shapes(16, 64, channels)
    train = Images(
        pixels=pixels,
        labels=torch.zeros(16, dtype=torch.int64),
        sizes=torch.tensor([[50, 70]]).expand(16, 2),
        names=tuple(map(str, range(16))),
        size=32,
        masks=masks,
    )
    at = tiny.progress(seed=seed)
    batch = draw_batch(_Segmenter((low, 1.0)), train, torch.arange(16), at)
    assert batch.masks is not None
    assert batch.masks.shape == (2, 16, 1, 32, 32)
    assert set(batch.masks.unique().tolist()) <= {0.0, 1.0}
    shown = batch.images[:, :, :1] * view.STD[0] + view.MEAN[0]
    # Interpolation makes grey edges; pixels that are plainly white or black say the same.
    plain = (shown < 0.01) | (shown > 0.99)
    assert float(plain.float().mean()) > 0.8
    assert torch.equal((shown > 0.5)[plain], (batch.masks > 0.5)[plain])


def test_masks_are_not_cut_for_tasks_that_do_not_segment() -> None:
    class Other(Task):
        augmentations = (Augmentation(),)

    pixels, masks = _shapes(4, 16)
    train = Images(
        pixels=pixels,
        labels=torch.zeros(4, dtype=torch.int64),
        sizes=torch.full((4, 2), 16),
        names=tuple("abcd"),
        size=8,
        masks=masks,
    )
    assert draw_batch(Other(), train, torch.arange(4), tiny.progress()).masks is None
    # Whole masks keep every second pixel of each axis.
    assert np.array_equal(train.truth(), masks[:, 0, 1::2, 1::2].bool().numpy())

"""Attention maps: the row alone equals the full map, and weights move with the image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.methods.msmae.saliency import AttentionMaps, MapSettings, top_left_boxes, unit_range
from harness.methods.msmae.vit import VisionTransformer
from harness.train.task import Batch
from tests import tiny

GRID, PATCH = 14, 16
JOINT = MapSettings(weights="attention", crop="joint", normalisation="mean-first")


def _planted(cell: tuple[int, int], settings: MapSettings = JOINT) -> AttentionMaps:
    maps = AttentionMaps(settings, GRID * PATCH, PATCH)
    maps.maps = torch.zeros(1, GRID, GRID)
    maps.maps[0, cell[0], cell[1]] = 1.0
    return maps


def _batch(box: tuple[float, float, float, float], *, flip: bool = False) -> Batch:
    return Batch(
        images=torch.zeros(1, 1, 3, GRID * PATCH, GRID * PATCH),
        labels=torch.zeros(1, dtype=torch.int64),
        ids=torch.zeros(1, dtype=torch.int64),
        boxes=torch.tensor([[box]]),
        flips=torch.tensor([[flip]]),
    )


def _heaviest(weights: Tensor) -> tuple[int, int]:
    return divmod(int(weights[0].argmax()), GRID)


def test_identity_crop_is_bilinear_upsampling_averaged_over_patches() -> None:
    maps = AttentionMaps(JOINT, GRID * PATCH, PATCH)
    maps.maps = torch.rand(1, GRID, GRID, generator=torch.Generator().manual_seed(0))
    side = GRID * PATCH
    pixels = nn.functional.interpolate(maps.maps[None], (side, side), mode="bilinear")
    expected = nn.functional.avg_pool2d(pixels, PATCH).flatten(1)
    found = maps.patch_weights(_batch((0.0, 0.0, 1.0, 1.0)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("box", "cell", "expected"),
    [
        # The whole image: the patch itself.
        ((0.0, 0.0, 1.0, 1.0), (3, 10), (3, 10)),
        # The upper left half: every cell becomes two by two; the first of them is as heavy.
        ((0.0, 0.0, 0.5, 0.5), (2, 5), (4, 10)),
        # The lower right half begins at cell 7.
        ((0.5, 0.5, 0.5, 0.5), (9, 12), (4, 10)),
        # A crop that is not square stretches the axes apart.
        ((0.25, 0.0, 0.5, 1.0), (6, 4), (5, 4)),
    ],
)
def test_planted_weight_follows_crop_and_flip(
    box: tuple[float, float, float, float],
    cell: tuple[int, int],
    expected: tuple[int, int],
    *,
    flip: bool,
) -> None:
    weights = _planted(cell).patch_weights(_batch(box, flip=flip))
    row, column = _heaviest(weights)
    # Where a cell covers several patches the planted weight is shared equally by neighbours.
    rows = {expected[0], expected[0] + (box[2] < 1)}
    columns = {expected[1], expected[1] + (box[3] < 1)}
    if flip:
        columns = {GRID - 1 - c for c in columns}
    assert row in rows
    assert column in columns


def test_weight_outside_the_crop_is_gone() -> None:
    weights = _planted((12, 12)).patch_weights(_batch((0.0, 0.0, 0.5, 0.5)))
    assert float(weights.abs().max()) < 1e-6


@pytest.mark.parametrize("flip", [False, True])
def test_weights_lie_where_the_image_does(*, flip: bool) -> None:
    """Cut the map as if it were a picture: the brightest patch is the heaviest."""
    from harness.augment import view
    from harness.augment.random_crop import random_boxes

    cell = (9, 4)
    picture = torch.zeros(1, 1, GRID * PATCH, GRID * PATCH)
    picture[0, 0, 9 * PATCH : 10 * PATCH, 4 * PATCH : 5 * PATCH] = 255.0
    generator = torch.Generator().manual_seed(3)
    for _ in range(50):
        box = random_boxes(torch.tensor([[600, 450]]), view.Augmentation(), generator).float()
        cropped = view.cut(picture, box, torch.tensor([flip]), GRID * PATCH, confine=True)
        bright = nn.functional.avg_pool2d(cropped, PATCH)[0, 0]
        if float(bright.max()) < 100:
            continue  # the square lies outside, or only its edge inside
        top, left, height, width = box[0].tolist()
        row, column = _heaviest(
            _planted(cell).patch_weights(_batch((top, left, height, width), flip=flip))
        )
        assert float(bright[row, column]) > 0.5 * float(bright.max())


def test_top_left_crop_never_leaves_the_first_three_cells() -> None:
    boxes = torch.tensor([[0.1, 0.6, 0.5, 0.4], [0.5, 0.5, 0.5, 0.4], [0.2, 0.1, 0.3, 0.3]])
    cells = top_left_boxes(boxes, GRID) * GRID
    expected = [[0, 0, 2, 3], [0, 0, 3, 2], [0, 0, 2, 2]]
    torch.testing.assert_close(cells, torch.tensor(expected, dtype=torch.float32))
    faulty = MapSettings(weights="attention", crop="top-left", normalisation="per-head")
    lesion = _planted((9, 12), faulty).patch_weights(_batch((0.5, 0.5, 0.4, 0.4)))
    assert float(lesion.abs().max()) < 1e-6  # the map's lesion lies elsewhere
    corner = _planted((0, 0), faulty).patch_weights(_batch((0.5, 0.5, 0.4, 0.4)))
    assert _heaviest(corner) == (0, 0)


def test_one_row_equals_the_full_attention_map() -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer(tiny.ENCODERS.vit, 32).eval()
    for block in encoder.blocks:
        nn.init.normal_(block.attn.qkv.weight, std=0.3)
        nn.init.normal_(block.attn.qkv.bias, std=0.3)
    last = encoder.blocks[-1]
    last.attn.fused_attn = False  # timm then materialises the softmax before attn_drop
    seen: list[Tensor] = []
    last.attn.attn_drop.register_forward_hook(lambda *args: seen.append(args[2]))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        encoder(images)
        row = encoder.class_attention(images)
    assert seen[0].shape == (3, 3, 17, 17)
    torch.testing.assert_close(row, seen[0][:, :, 0, 1:])
    assert bool((row.sum(-1) < 1).all())


def test_normalisations() -> None:
    attention = torch.tensor([[[0.1, 0.2, 0.3, 0.1], [0.0, 0.4, 0.0, 0.2]]])
    mean_first = AttentionMaps(JOINT, 32, 16)._map(attention)
    average = torch.tensor([0.05, 0.3, 0.15, 0.15])
    torch.testing.assert_close(mean_first.flatten(), (average - 0.05) / 0.25)
    per_head = MapSettings(weights="attention", crop="joint", normalisation="per-head")
    heads = torch.tensor([[0.0, 0.5, 1.0, 0.0], [0.0, 1.0, 0.0, 0.5]])
    torch.testing.assert_close(
        AttentionMaps(per_head, 32, 16)._map(attention).flatten(), heads.mean(0)
    )


def test_constant_attention_gives_uniform_weights_not_nan() -> None:
    assert torch.equal(unit_range(torch.full((2, 5), 0.2)), torch.ones(2, 5))


def test_weights_of_ones_never_look() -> None:
    ones = MapSettings(weights="ones", crop="top-left", normalisation="per-head")
    maps = AttentionMaps(ones, GRID * PATCH, PATCH)

    def look(function: object) -> Tensor:
        raise AssertionError("the released code discards what it sees")

    maps.renew(look, VisionTransformer(tiny.ENCODERS.vit, 32))
    weights = maps.patch_weights(_batch((0.1, 0.2, 0.5, 0.5)))
    assert torch.equal(weights, torch.ones(1, GRID**2))

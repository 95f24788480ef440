"""Masks resized by nearest neighbour: at the centre of a pixel, or at its corner as in OpenCV."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.augment import masks

STRIPES = torch.tensor([0, 1, 0, 0, 1, 1, 0, 1], dtype=torch.uint8)


def _column(target: int, nearest: masks.Nearest) -> list[float]:
    stripes = STRIPES[None, None, :, None].expand(1, 1, 8, 8)
    column: list[float] = masks.whole(stripes, target, nearest=nearest)[0, 0, :, 0].tolist()
    return column


def test_points_by_hand() -> None:
    # To a half: rows 0, 2, 4, 6 lie at the corners, 1, 3, 5, 7 at (or just after) the centres.
    assert _column(4, "corner") == [0, 0, 1, 0]
    assert _column(4, "centre") == [1, 0, 1, 1]
    # To three rows of 2.67 pixels: corners at 0, 2.67, 5.33; centres at 1.33, 4, 6.67.
    assert _column(3, "corner") == [0, 0, 1]
    assert _column(3, "centre") == [1, 1, 0]


@pytest.mark.parametrize(("source", "target"), [(448, 224), (100, 37), (50, 64), (96, 17), (8, 8)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_corners_are_those_of_opencv_after_mirror_and_turn(
    source: int, target: int, mirrored: bool
) -> None:
    cv2: Any = pytest.importorskip("cv2")
    stored = np.random.default_rng(1).integers(0, 2, (4, source, source), dtype=np.uint8)
    turns = torch.arange(4)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(4, 4)
    flips = torch.full((4,), mirrored)
    stack = torch.from_numpy(stored)[:, None]
    found = masks.cut(stack, whole, flips, target, turns, nearest="corner")
    for number in range(4):
        turned = np.rot90(stored[number][:, ::-1] if mirrored else stored[number], number)
        expected = cv2.resize(
            np.ascontiguousarray(turned), (target, target), interpolation=cv2.INTER_NEAREST
        )
        np.testing.assert_array_equal(found[number, 0].numpy(), expected)


def test_corners_of_a_crop_are_those_of_the_part_cut_out() -> None:
    stored = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (1, 1, 64, 64), np.uint8))
    box = torch.tensor([[0.25, 0.5, 0.5, 0.5]])
    for mirrored in (False, True):
        flips = torch.tensor([mirrored])
        found = masks.cut(stored, box, flips, 16, None, nearest="corner")
        part = stored[:, :, 16:48, 32:]
        part = part.flip(3) if mirrored else part
        assert torch.equal(found, part[:, :, ::2, ::2].float())

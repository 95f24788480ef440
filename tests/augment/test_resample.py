"""OpenCV's bilinear kernel: by hand, and against OpenCV itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.augment import resample, view
from harness.augment.resample import (
    Interpolation,
    dense,
    parts,
    products,
    resample_weights,
    sums,
    taps,
)

HERE, WHOLE = torch.tensor([0.0]), torch.tensor([1.0])


def _resized(values: list[float], target: int, interpolation: Interpolation) -> list[float]:
    weights = resample_weights(HERE, WHOLE, (len(values), target), interpolation)
    resized: list[float] = (weights[0] @ torch.tensor(values)).tolist()
    return resized


def test_opencv_s_kernel_by_hand() -> None:
    ramp = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]
    # To a half: the mean of two pixels each. To a quarter: target centres at 2 and 6, so the mean
    # of pixels 1 and 2, and of 5 and 6; pixels 0, 3, 4 and 7 are skipped.
    assert _resized(ramp, 4, "opencv") == pytest.approx([5, 25, 45, 65])
    assert _resized(ramp, 2, "opencv") == pytest.approx([15, 55])
    single = [0.0, 0.0, 0.0, 80.0, 0.0, 0.0, 0.0, 0.0]
    assert _resized(single, 2, "opencv") == pytest.approx([0, 0])
    # PIL's kernel is widened to 8 pixels: distances 0.5 to 3.5 of 4 weigh 0.875 to 0.125; those of
    # pixels 0 to 5 (the reach is 4 to either side of 2, cut by the border) sum to 3.5.
    assert _resized(single, 2, "bilinear")[0] == pytest.approx(80 * 0.625 / 3.5)
    # Enlarged, the border is repeated: both kernels are the same there.
    for interpolation in ("opencv", "bilinear"):
        found = _resized([0.0, 8.0], 4, interpolation)  # type: ignore[arg-type]
        assert found == pytest.approx([0, 2, 6, 8])


@pytest.mark.parametrize(("source", "target"), [(64, 32), (100, 37), (50, 64), (96, 17), (33, 32)])
def test_opencv_s_kernel_is_opencv_s(source: int, target: int) -> None:
    cv2: Any = pytest.importorskip("cv2")
    pixels = np.random.default_rng(0).integers(0, 256, (source, source), dtype=np.uint8)
    expected = cv2.resize(pixels.astype(np.float32), (target, target), cv2.INTER_LINEAR)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    images = torch.from_numpy(pixels)[None, None]
    found = view.cut(images, whole, torch.zeros(1, dtype=torch.bool), target, "opencv")
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=2e-2)
    # Confined to a crop it is a crop that is resized.
    box = torch.tensor([[0.25, 0.5, 0.5, 0.5]])
    if source % 4 == 0:
        part = pixels[source // 4 : 3 * source // 4, source // 2 :].astype(np.float32)
        expected = cv2.resize(part, (target, target), cv2.INTER_LINEAR)
        flips = torch.zeros(1, dtype=torch.bool)
        found = view.cut(images, box, flips, target, "opencv", confine=True)
        np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=2e-2)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_0_to_1_are_pixels_over_255(channels: int) -> None:
    pixels = torch.tensor([0.0, 51.0, 255.0, 300.0, -3.0]).expand(1, channels, 1, 5)
    found = view.normalise(pixels, "unit")
    assert found.shape == (1, 3, 1, 5)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.2, 1.0, 1.0, 0.0]).expand(1, 3, 1, 5))
    normalised = view.normalise(pixels)
    for channel in range(3):
        expected = (found[:, channel] - view.MEAN[channel]) / view.STD[channel]
        torch.testing.assert_close(normalised[:, channel], expected)


@pytest.mark.parametrize(("channels", "source", "target"), [(1, 128, 64), (3, 64, 32), (3, 30, 41)])
@pytest.mark.parametrize("boxes", [1, 5])
@pytest.mark.parametrize("held", [1, 2, 5])
def test_sums_of_taps_are_the_product_with_its_zeros(
    channels: int, source: int, target: int, boxes: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where images are taken one by one, or the last of them are fewer."""
    monkeypatch.setattr(resample, "PART", held * channels * source**2)
    generator = torch.Generator().manual_seed(0)
    shape = (5, channels, source, source)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    start = torch.rand(boxes, 2, generator=generator) * 0.5
    made = taps(start, torch.full((boxes, 2), 0.45), (source, target), "bicubic", confine=True)
    rows, columns = dense(made, source).expand(5, -1, -1, -1).unbind(1)
    found, expected = sums(images, made), products(images, rows, columns)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    assert found.is_contiguous()


def test_chosen_images_are_cut_as_those_copied_out() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 3, 64, 64), dtype=torch.uint8, generator=generator)
    rows = torch.tensor([8, 0, 3, 3])
    start = torch.rand(4, 2, generator=generator) * 0.5
    made = taps(start, torch.full((4, 2), 0.45), (64, 32), "bicubic", confine=True)
    found = torch.cat([crops for _, crops in parts(images, made, rows)])
    assert torch.equal(found, sums(images[rows], made))


def test_the_cubic_kernel_is_its_two_pieces() -> None:
    x = torch.linspace(0, 3, 3001, dtype=torch.float64)
    a = -0.5
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    expected = torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))
    torch.testing.assert_close(resample._cubic(x), expected, rtol=0, atol=1e-12)
    single = resample._cubic(x.float()).double()
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "opencv"])
@pytest.mark.parametrize(("source", "target"), [(32, 16), (20, 27)])
@pytest.mark.parametrize("confined", [True, False])
def test_weights_are_the_kernel_at_every_pixel(
    interpolation: Interpolation, source: int, target: int, confined: bool
) -> None:
    """Pixel by pixel in float64: the kernel at its distance where it counts, then divided."""
    generator = torch.Generator().manual_seed(1)
    start = torch.rand(6, generator=generator) * 0.4
    length = torch.rand(6, generator=generator) * 0.5 + 0.1
    reverse = torch.arange(6) % 2 == 1
    found = resample_weights(
        start, length, (source, target), interpolation, confine=confined, reverse=reverse
    )
    assert found.shape == (6, target, source)
    for image in range(6):
        begin, extent = float(start[image]) * source, float(length[image]) * source
        step = extent / target
        wide = 1.0 if interpolation == "opencv" else max(step, 1.0)
        low, high = (begin - 0.5, begin + extent + 0.5) if confined else (0.0, float(source))
        for row in range(target):
            place = target - 0.5 - row if reverse[image] else row + 0.5
            expected = np.zeros(source)
            for pixel in range(source):
                x = abs(pixel + 0.5 - begin - place * step) / wide
                if low < pixel + 0.5 < high:
                    expected[pixel] = _kernel(x, interpolation)
            expected /= expected.sum()
            np.testing.assert_allclose(found[image, row].numpy(), expected, atol=2e-5)


def _kernel(x: float, interpolation: Interpolation) -> float:
    if interpolation != "bicubic":
        return max(1 - x, 0.0)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

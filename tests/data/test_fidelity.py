"""Crops of stored images keep what PIL's crops of the originals keep (docs/data.md, "Fidelity")."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import fidelity
from harness.spec.dataset import Item, Source
from harness.spec.profiles import STORED_SIZE

UPPER_BAND, DIFFERENCE, CONTRAST = 0.85, 0.6, 0.75
"""Least energy in the upper half of the band, largest mean difference of evaluation images in grey
levels, and least contrast of the dot of 8 pixels, all relative to PIL's."""


def test_the_store_serves_the_largest_profile() -> None:
    assert STORED_SIZE == 448


@pytest.mark.parametrize("name", fidelity.GENERATED)
def test_generated_originals_keep_their_detail(name: str) -> None:
    images, dots = fidelity.generated(fidelity.GENERATED[name], count=2)
    found = fidelity.compare(images, STORED_SIZE, dots=dots)
    assert found["upper_band"] >= UPPER_BAND
    assert found["evaluation_difference"] <= DIFFERENCE
    assert found["contrast_8_px"] >= CONTRAST


@pytest.mark.parametrize("size", [448, 256])
def test_the_measure_finds_a_blurring_filter(size: int) -> None:
    def bilinear(source: Source, item: Item, side: int, channels: int) -> np.ndarray:
        image = Image.open(io.BytesIO(source.read(item.image)))
        small = image.resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(small).reshape(side, side, channels)

    images, _ = fidelity.generated((512, 512), count=2)
    assert fidelity.compare(images, size, store=bilinear)["upper_band"] < UPPER_BAND - 0.1


@pytest.mark.data
@pytest.mark.parametrize("name", ["btmd", "ham10000", "busi"])
def test_real_originals_keep_their_detail(name: str) -> None:
    folder = os.environ.get("HARNESS_ARCHIVES")
    if folder is None:
        pytest.skip("HARNESS_ARCHIVES does not name a folder of official archives")
    found = fidelity.compare(fidelity.sampled(name, Path(folder) / f"{name}.zip"), STORED_SIZE)
    assert found["upper_band"] >= UPPER_BAND
    assert found["evaluation_difference"] <= DIFFERENCE

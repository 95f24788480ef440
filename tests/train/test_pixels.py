"""Images that do not fit into memory are read from the file with the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.augment import view
from harness.data.prepare import prepare
from harness.data.prepared import Store, open_store
from harness.spec import profiles
from harness.train import images as loading
from harness.train import pixels
from harness.train.pixels import StoredPixels
from tests import archives
from tests.archives import write_zip

CPU = torch.device("cpu")


def _store(root: Path, size: int) -> Store:
    dataset, members = archives.brain()
    prepare(dataset, write_zip(root / "a.zip", members), root=root, size=size)
    return open_store(root, "btmd")


@pytest.mark.parametrize("side", [16, 20, 64])
def test_the_file_gives_the_numbers_of_memory(
    tmp_path: Path, side: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store = _store(tmp_path, 32).everything()
    held = pixels.load(store, side, CPU)
    assert capsys.readouterr().err == ""
    stored = pixels.load(store, side, CPU, free=0.0)
    assert isinstance(held, torch.Tensor)
    assert isinstance(stored, StoredPixels)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "12 images of btmd" in line
    assert "read from the store's file" in line
    rows = torch.tensor([3, 0, 3, 11])
    assert torch.equal(stored[rows], held[rows])
    for mine, theirs in zip(stored.split(5), held.split(5), strict=True):
        assert torch.equal(mine, theirs)
    assert len(stored) == len(held) == 12


def test_a_training_takes_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _store(tmp_path, 32).part("paper", "train")
    held = loading.load(store, profiles.SMOKE, CPU)
    monkeypatch.setattr(pixels, "free_memory", lambda device: (0.0, "this machine's memory"))
    stored = loading.load(store, profiles.SMOKE, CPU)
    assert isinstance(stored.pixels, StoredPixels)
    for transform in ("stretch", "centre-crop"):
        pairs = zip(held.evaluated(transform, 3), stored.evaluated(transform, 3), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "CGROUP", tmp_path)
    unlimited = pixels.free_memory(CPU)[0]
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert pixels.free_memory(CPU)[0] > 0.5 * unlimited
    (tmp_path / "memory.max").write_text("1000005\n")
    assert pixels.free_memory(CPU)[0] == 1_000_000


def test_a_small_original_is_cut_as_pil_cuts_it(tmp_path: Path) -> None:
    """An original of 40 x 30 pixels in a store of 64: nothing is enlarged before it is cropped."""
    store = _store(tmp_path, 64).everything()
    loaded = loading.load(store, profiles.SMOKE, CPU)
    assert loaded.filled is not None
    torch.testing.assert_close(loaded.filled, torch.tensor([[30 / 64, 40 / 64]]).expand(12, 2))
    original = Image.fromarray(store.images[0, :30, :40, 0])
    # Rows 3 to 27 and columns 10 to 34.
    box = torch.tensor([[3 / 30, 10 / 40, 24 / 30, 24 / 40]])
    found = view.view(
        loaded.pixels[torch.tensor([0])],
        view.within(box, loaded.filled_by(torch.tensor([0]))),
        torch.tensor([False]),
        32,
        view.Augmentation(),
    )
    expected = original.crop((10, 3, 34, 27)).resize((32, 32), Image.Resampling.BICUBIC)
    levels = (found[0, 0] * view.STD[0] + view.MEAN[0]) * 255
    assert np.abs(levels.numpy() - np.asarray(expected, np.float32)).max() <= 1.0
    whole = next(loaded.stretched())[0, 0] * view.STD[0] + view.MEAN[0]
    expected = original.resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(whole.numpy() * 255 - np.asarray(expected, np.float32)).max() <= 1.0


def test_a_central_crop_never_reaches_beyond_a_small_original(tmp_path: Path) -> None:
    store = _store(tmp_path, 64).everything()
    loaded = loading.load(store, profiles.SMOKE, CPU)
    short = int(256 / 224 * 32)  # 36 pixels for the 30 of the height
    original = Image.fromarray(store.images[0, :30, :40, 0])
    resized = original.resize((int(short * 40 / 30), short), Image.Resampling.BICUBIC)
    left, top = round((resized.width - 32) / 2), round((resized.height - 32) / 2)
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32)), np.float32)
    found = next(loaded.evaluated("centre-crop"))[0, 0] * view.STD[0] + view.MEAN[0]
    assert np.abs(found.numpy() * 255 - expected).mean() <= 1.0

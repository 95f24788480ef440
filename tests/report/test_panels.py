"""Pictures of segmentations: which images, what they show, the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.prepared import ImageStore
from harness.errors import UserError
from harness.evaluate.segmentation import pack
from harness.report import panels, style

NAMES = tuple(f"image {i}" for i in range(30))
LABELS = np.repeat([0, 1, 2], [20, 8, 2])


def test_images_are_chosen_by_name_alone_and_from_every_class() -> None:
    rows = panels.choose(NAMES, LABELS, 6)
    assert LABELS[rows].tolist() == [0, 1, 2, 0, 1, 2]
    order = np.random.default_rng(0).permutation(30)
    other = panels.choose([NAMES[i] for i in order], LABELS[order], 6)
    assert [NAMES[i] for i in rows] == [NAMES[order[i]] for i in other]
    # Once a class is used up, the others go on.
    assert np.bincount(LABELS[panels.choose(NAMES, LABELS, 12)]).tolist() == [5, 5, 2]
    assert len(panels.choose(NAMES, LABELS, 99)) == 30


def _arrays(count: int = 2) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    images = np.full((count, 16, 16, 3), 90, np.uint8)
    truth = np.zeros((count, 16, 16), bool)
    truth[:, 4:12, 4:12] = True
    return images, truth, {"MAE": ~truth, "MSMAE": truth}


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    first = panels.draw(*_arrays(), tmp_path / "a.png", names=("one", "two"))
    second = panels.draw(*_arrays(), tmp_path / "b.png", names=("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        width, height = picture.size
        assert width == round(4 * panels.SIDE * 300)
        pixels = np.asarray(picture.convert("L"))
    # The middle of the four columns: a grey image, a lesion, none, a lesion.
    row = pixels[height // 4 + 50]
    middle = [int(row[round(width * (i + 0.5) / 4)]) for i in range(4)]
    assert middle == [90, 255, 0, 255]


def test_arrays_of_other_images_are_refused(tmp_path: Path) -> None:
    images, truth, predictions = _arrays()
    with pytest.raises(ValueError, match="MAE 1"):
        panels.draw(images, truth, {"MAE": predictions["MAE"][:1]}, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def _store() -> ImageStore:
    return ImageStore(
        dataset="busi",
        images=np.full((30, 16, 16, 1), 90, np.uint8),
        index=np.arange(30),
        labels=LABELS,
        names=NAMES,
        groups=None,
        sizes=np.full((30, 2), 16),
        masks=None,
    )


def _predictions(path: Path, names: tuple[str, ...] = NAMES) -> Path:
    masks = np.zeros((len(names), 8, 8), bool)
    packed = pack(masks)
    np.savez(
        path, truth=packed, last=packed, best=packed, side=np.asarray(8), names=np.asarray(names)
    )
    return path


def test_runs_are_compared_from_what_they_kept(tmp_path: Path) -> None:
    kept = _predictions(tmp_path / "a.npz")
    bare = tmp_path / "bare.png"
    panels.compare(panels.pick(_store(), 3), {"MAE": kept}, bare, with_images=False)
    with Image.open(bare) as picture:
        assert picture.size[0] == round(300 * style.COLUMN)  # truth and prediction alone
    chosen = panels.pick(_store(), 3)
    panels.compare(chosen, {"MAE": kept}, tmp_path / "a.png")
    assert chosen.names == tuple(NAMES[i] for i in panels.choose(NAMES, LABELS, 3))
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_what_cannot_be_compared_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(UserError, match="No run has predictions"):
        panels.compare(_store(), {}, path)
    with pytest.raises(UserError, match="are missing"):
        panels.compare(_store(), {"MAE": tmp_path / "none.npz"}, path)
    with pytest.raises(UserError, match="of other images"):
        panels.compare(_store(), {"MAE": _predictions(tmp_path / "b.npz", NAMES[:1])}, path)
    np.savez(tmp_path / "c.npz", last=np.zeros((30, 3)))
    with pytest.raises(UserError, match="holds no masks"):
        panels.compare(_store(), {"MAE": tmp_path / "c.npz"}, path)
    assert not path.exists()

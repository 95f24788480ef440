"""Conformance of every data set; phantoms as promised; the real archives where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from harness.data import registry
from harness.data.archive import Given
from harness.data.prepare import prepare
from harness.data.prepared import open_store
from harness.data.sets import phantom
from harness.errors import UserError
from harness.spec.dataset import Dataset
from harness.spec.table import Column, Row

DATASETS = list(registry.datasets().values())
every_dataset = pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
FAMILIES = sorted(phantom.FAMILIES)


@every_dataset
def test_descriptions_are_complete(dataset: Dataset) -> None:
    assert len(dataset.classes) == len(dataset.counts) == len(set(dataset.classes))
    assert sum(dataset.sizes.values()) == sum(dataset.counts)
    assert list(dataset.sizes) == ["train", "eval"]
    assert dataset.channels in (1, 3)
    assert dataset.source
    assert dataset.licence
    if dataset.name not in FAMILIES:
        stand_in = registry.find(dataset.phantom or "")
        assert len(stand_in.classes) == len(dataset.classes)


def test_official_counts() -> None:
    """The paper, Appendix A and Table 6."""
    sizes = {d.name: (sum(d.counts), d.sizes["train"], d.sizes["eval"]) for d in DATASETS}
    assert sizes["btmd"] == (7023, 5712, 1311)
    assert sizes["btmd-v2"] == (7200, 5600, 1600)  # Kaggle's version 2
    assert sizes["ham10000"] == (10015, 7014, 3001)
    assert sizes["busi"] == (780, 547, 233)
    assert sizes["messidor2"] == (1744, 1222, 522)


@pytest.mark.parametrize("name", FAMILIES)
def test_phantoms_are_deterministic_and_complete(tmp_path: Path, name: str) -> None:
    first = phantom.ensure(tmp_path / "1", name, size=32)
    second = phantom.ensure(tmp_path / "2", name, size=32)
    assert first.fingerprint == second.fingerprint
    store = open_store(tmp_path / "1", name).everything()
    dataset = registry.find(name)
    assert np.bincount(store.labels).tolist() == list(dataset.counts)
    assert store.images.shape[1:] == (32, 32, dataset.channels)
    assert store.masks is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_only_the_lesion_explains_the_label(name: str) -> None:
    """The same row under every label differs inside the lesions' masks alone."""
    for row in range(6):
        healthy, none = phantom.render(name, row, None, 48)
        assert not none.any()
        for label in range(len(registry.find(name).classes)):
            image, mask = phantom.render(name, row, label, 48)
            changed = (image != healthy).any(2)
            # Soft edges reach a pixel beyond the mask.
            reach = np.zeros_like(mask, bool)
            padded = np.pad(mask.astype(bool), 2)
            for dy in range(5):
                for dx in range(5):
                    reach |= padded[dy : dy + 48, dx : dx + 48]
            assert not (changed & ~reach).any()


@pytest.mark.parametrize("name", FAMILIES)
def test_lesions_differ_between_classes(name: str) -> None:
    """The lesion's pixels tell the classes apart better than chance, the background does not."""
    dataset = registry.find(name)
    inside, outside, labels = [], [], []
    for row in range(160):
        label = row % len(dataset.classes)
        image, mask = phantom.render(name, row, label, 32)
        lesion, rest = image[mask > 0], image[mask == 0]
        colour = lesion.mean(0) if len(lesion) else np.zeros(3)
        inside.append([*colour, 300 * mask.mean(), image.std()])
        outside.append([*rest.mean(0), rest.std()])
        labels.append(label)
    chance = 1 / len(dataset.classes)
    assert _nearest(np.array(inside), np.array(labels)) > 1.5 * chance


def _nearest(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of the nearest class mean, half trained, half tested."""
    features = (features - features.mean(0)) / (features.std(0) + 1e-9)
    half = len(labels) // 2
    means = np.stack([features[:half][labels[:half] == k].mean(0) for k in np.unique(labels)])
    distance = ((features[half:, None] - means) ** 2).sum(2)
    return float((distance.argmin(1) == labels[half:]).mean())


def test_unknown_names_are_answered_with_a_guess() -> None:
    with pytest.raises(UserError, match="No data set 'btdm'. Did you mean 'btmd'"):
        registry.find("btdm")
    assert len(registry.expand("phantom")) == 4


def test_version_2_of_btmd_has_no_numbers_of_the_paper() -> None:
    row = Row(name="mae", label="MAE", stages=None, printed={"btmd": 90.62})
    printed = row.printed_in(Column(dataset="btmd"))
    assert printed is not None and printed.value == 90.62
    assert row.printed_in(Column(dataset="btmd-v2")) is None


ARCHIVES = os.environ.get("HARNESS_ARCHIVES")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(
    ARCHIVES is None, reason="HARNESS_ARCHIVES does not name a folder of official archives"
)
@pytest.mark.parametrize(
    ("name", "counts", "splits"),
    [
        ("btmd", (1621, 1645, 2000, 1757), (5712, 1311)),
        ("ham10000", (327, 514, 1099, 115, 1113, 6705, 142), (7014, 3001)),
        ("busi", (437, 210, 133), (547, 233)),
    ],
)
def test_official_archives(
    tmp_path: Path, name: str, counts: tuple[int, ...], splits: tuple[int, int]
) -> None:
    path = Path(ARCHIVES or "") / f"{name}.zip"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    dataset = registry.find(name)
    masks = path.with_name(f"{name}_masks.zip")
    given = Given((path,), masks if masks.exists() else None)
    manifest = prepare(dataset, given, root=tmp_path, size=32)
    store = open_store(tmp_path, name)
    assert tuple(np.bincount(store.everything().labels)) == counts
    assert tuple(manifest.parts["paper"].values()) == splits
    if name == "btmd":
        eighths = np.bincount(store.part("paper", "eval").labels)
        assert eighths.tolist() == [300, 306, 405, 300]
    if name == "ham10000":
        groups = store.everything().groups
        assert groups is not None
        assert len(set(groups)) == 7470
        parts = [set(store.part("clean", p).groups or ()) for p in ("train", "val", "test")]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        # Lesions lie in the middle of photographs, seldom in their corners.
        lesions = store.everything().load_masks().mean(0)
        assert lesions[14:18, 14:18].min() > 0.8
        assert lesions[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.1
        assert store.everything().load_masks().any((1, 2)).all()
    if name == "busi":
        masks = store.everything().load_masks()
        benign = store.everything().labels < 2
        assert masks[benign].any((1, 2)).all()
        assert not masks[~benign].any()

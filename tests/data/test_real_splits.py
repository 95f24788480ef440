"""Splits of the real archives: twins that the paper's split has, and that the clean split has not.

The numbers are those of docs/data.md, "Splits".
"""

from __future__ import annotations

import os
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from harness.data import registry, verify
from harness.data.prepare import prepare
from harness.data.prepared import Store, open_store
from harness.data.split import Joined
from harness.data.twins import RULES, search

ARCHIVES = os.environ.get("HARNESS_ARCHIVES")

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(
        ARCHIVES is None, reason="HARNESS_ARCHIVES does not name a folder of official archives"
    ),
]

COUNTS = {
    "btmd": (216, 246, 0, 0),
    "busi": (1, 7, 0, 0),
    "ham10000": (1, 1, 1018, 914),
}
"""Evaluation images with an identical partner, with a near-twin, of a shared lesion; lesions."""

CLEAN = {
    "btmd": {"train": 4917, "val": 702, "test": 1404},
    "busi": {"train": 547, "val": 78, "test": 155},
    "ham10000": {"train": 7011, "val": 1001, "test": 2003},
}

JOINED = {
    "btmd": Joined(components=530, images=2029, largest=27),
    "busi": Joined(components=69, images=153, largest=4),
    "ham10000": Joined(components=1955, images=4501, largest=6),
}


@pytest.fixture(scope="module", params=COUNTS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Prepare an archive at a small size, on which the splits do not depend."""
    path = Path(ARCHIVES or "") / f"{request.param}.zip"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    root = tmp_path_factory.mktemp("data")
    prepare(registry.find(request.param), path, root=root, size=64)
    return open_store(root, request.param)


def test_the_paper_s_split_has_these_twins(store: Store) -> None:
    found = verify.recount(store)
    assert verify.problems(store, found) == []
    (paper,) = (f for f in found if f.overlap.split == "paper")
    counts = paper.overlap
    name = store.manifest.dataset
    assert (counts.exact, counts.near, counts.grouped, counts.groups) == COUNTS[name]
    if name == "btmd":
        labels = store.everything().labels
        assert np.bincount(labels[paper.rows["exact"]], minlength=4).tolist() == [0, 106, 105, 5]


def test_the_clean_split_has_no_twins_and_its_shares(store: Store) -> None:
    name = store.manifest.dataset
    assert store.manifest.parts["clean"] == CLEAN[name]
    assert store.manifest.joined == JOINED[name]
    clean = [o for o in store.manifest.overlaps if o.split == "clean"]
    assert [(o.part, o.other) for o in clean] == [
        ("val", "train"),
        ("test", "train"),
        ("test", "val"),
    ]
    assert all(o.clear for o in clean)
    labels = store.everything().labels
    for part, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        of_class = np.bincount(labels[store.splits["clean"][part]]) / np.bincount(labels)
        np.testing.assert_allclose(of_class, share, atol=0.015)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_stored_images_have_no_twins_in_two_parts_either(store: Store, side: int) -> None:
    """Sketches of other pixels and sizes than those that the split was made by."""
    images = store.everything()
    sketches = []
    for pixels in images.images:
        image = Image.fromarray(pixels.squeeze()).convert("L")
        bits = np.packbits(imagehash.dhash(image, hash_size=16).hash)
        grey = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
        sketches.append(np.concatenate([bits, grey.ravel()]))
    part = np.empty(len(images), object)
    for name, rows in store.splits["clean"].items():
        part[rows] = name
    pairs = list(search(np.stack(sketches), RULES.check))
    assert sum(len(block.first) for block in pairs) > 0
    assert all((part[block.first] == part[block.second]).all() for block in pairs)

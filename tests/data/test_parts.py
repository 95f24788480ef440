"""Which images are trained on, selected on and reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.parts import USES, part_name, part_of, part_size
from harness.data.prepared import open_store, read_manifest
from harness.data.sets import phantom
from harness.spec import profiles
from harness.spec.dataset import Split

FAMILY = "phantom-mri"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parts")
    phantom.ensure(made, FAMILY, size=32)
    return made


@pytest.mark.parametrize(("split", "shared"), [("paper", True), ("clean", False)])
def test_the_uses_of_a_split(folder: Path, split: Split, shared: bool) -> None:
    store = open_store(folder, FAMILY)
    whole = replace(profiles.SMOKE, train_images=None, eval_images=None)
    train, selected_on, reported = (set(part_of(store, split, whole, u).names) for u in USES)
    assert not train & (selected_on | reported)
    assert (selected_on == reported) is shared
    assert shared or not selected_on & reported
    assert (part_name(split, "selected_on") == part_name(split, "reported")) is shared


@pytest.mark.parametrize("split", ["paper", "clean"])
def test_a_profile_limits_training_and_evaluation(folder: Path, split: Split) -> None:
    store, manifest = open_store(folder, FAMILY), read_manifest(folder, FAMILY)
    assert manifest is not None
    for limits, expected in [((20, 8), [20, 8, 8]), ((10**6, 10**6), None), ((None, None), None)]:
        profile = replace(profiles.SMOKE, train_images=limits[0], eval_images=limits[1])
        found = [len(part_of(store, split, profile, use)) for use in USES]
        assert found == [part_size(manifest, split, profile, use) for use in USES]
        assert expected is None or found == expected
        assert expected or found == [manifest.parts[split][part_name(split, u)] for u in USES]

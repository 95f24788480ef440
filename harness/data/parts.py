"""The images that a run trains on, selects its best epoch on and reports.

A split says which part of a data set each of them is, a profile how many of its images are taken.
"""

from __future__ import annotations

from typing import Literal

from harness.data.prepared import ImageStore, Manifest, Store, subset
from harness.spec.dataset import PARTS, Split
from harness.spec.profile import Profile

Use = Literal["trained_on", "selected_on", "reported"]
"""What a part is used for: a field of ``harness.spec.dataset.Parts``."""

USES: tuple[Use, ...] = ("trained_on", "selected_on", "reported")


def part_name(split: Split, use: Use) -> str:
    """Return which part of a split has a use: "train", "eval", "val" or "test"."""
    name: str = getattr(PARTS[split], use)
    return name


def part_of(store: Store, split: Split, profile: Profile, use: Use) -> ImageStore:
    """Return the images of a prepared data set that a profile takes for a use."""
    return subset(store.part(split, part_name(split, use)), _limit(profile, use))


def part_size(manifest: Manifest, split: Split, profile: Profile, use: Use) -> int:
    """Count the images that ``part_of`` returns, from the manifest alone."""
    size, limit = manifest.parts[split][part_name(split, use)], _limit(profile, use)
    return size if limit is None else min(size, limit)


def _limit(profile: Profile, use: Use) -> int | None:
    return profile.train_images if use == "trained_on" else profile.eval_images

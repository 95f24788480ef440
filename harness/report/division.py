"""How the data set of a column was divided, and what the parts of its split share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.overlap import Overlap, counted, sentence
from harness.data.parts import USES, part_name, part_size
from harness.data.prepared import Store
from harness.data.twins import TwinRules
from harness.plan.columns import ColumnPlan
from harness.spec.dataset import PARTS, Split
from harness.spec.profile import Profile


@dataclass(frozen=True, kw_only=True)
class Division:
    """How a data set was divided, and what the parts of its split share.

    Attributes:
        split: name of the split.
        trained_on: name of the part that is trained on.
        selected_on: name of the part that selects the best epoch.
        reported: name of the part that is reported.
        overlaps: counts of twins and shared groups of the split's parts.
        rules: when two images are near-twins.
        group: what a group of images is called ("lesion").
        grouped: whether groups are known.
        whole: whether the profile takes all images of the parts.
    """

    split: Split
    trained_on: str
    selected_on: str
    reported: str
    overlaps: tuple[Overlap, ...]
    rules: TwinRules
    group: str
    grouped: bool
    whole: bool

    def with_training(self, use: str) -> Overlap | None:
        """Return the overlap of the part of a use with the training part."""
        part = self.selected_on if use == "selected_on" else self.reported
        return self._overlap(part, self.trained_on)

    @property
    def selects_on_reported(self) -> bool:
        """Whether the given split's validation images are its test images."""
        found = self._overlap(self.reported, self.selected_on)
        return found is not None and found.same == found.images

    def _overlap(self, part: str, other: str) -> Overlap | None:
        return next((o for o in self.overlaps if (o.part, o.other) == (part, other)), None)


def of(column: ColumnPlan, store: Store, profile: Profile) -> Division:
    """Return how the data set of a column was divided."""
    manifest = column.manifest
    return Division(
        split=column.split,
        **PARTS[column.split]._asdict(),
        overlaps=tuple(o for o in manifest.overlaps if o.split == column.split),
        rules=manifest.twins,
        group=column.used.group_title,
        grouped=store.everything().groups is not None,
        whole=all(
            part_size(manifest, column.split, profile, use)
            == manifest.parts[column.split][part_name(column.split, use)]
            for use in USES
        ),
    )


def kept(division: Division, use: str = "reported") -> str:
    """Return how a split kept what belongs together, and what its parts share nevertheless.

    Args:
        division: how the data set was divided.
        use: whose part is compared with the training part, "reported" or "selected_on".
    """
    facts = []
    if division.split == "clean":
        groups = f"{counted(2, division.group).removeprefix('2 ')}, " if division.grouped else ""
        facts.append(f"{groups}identical images and near-twins kept together")
    found = division.with_training(use)
    if found is not None:
        facts.append(sentence(found, division.group if division.grouped else None))
    if not division.grouped:
        facts.append("no groups of images are known")
    return ", ".join(facts)


def rules(divisions: Sequence[Division]) -> str:
    """Return by which rules near-twins are counted, and joined in the clean split."""
    texts = dict.fromkeys(
        f"at most {d.rules.check.distance} of 256 bits of the difference hash differ, grey versions"
        f" correlate above {d.rules.check.correlation:g}"
        for d in divisions
    )
    joins = dict.fromkeys(
        f"clean joins up to {d.rules.join.distance} bits and above {d.rules.join.correlation:g}"
        for d in divisions
        if d.split == "clean"
    )
    return "; ".join([f"near-twins: {' or '.join(texts)}", *joins])

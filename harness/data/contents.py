"""What the files of a data store hold, read by type and compared with what the manifest says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from harness import files
from harness.data.blocks import Blocks, check
from harness.data.twins import SKETCH, TwinRules
from harness.errors import Damaged, shown

MANIFEST, INDEX, BLOCKS = "manifest.json", "index.json", "blocks.json"
IMAGES, MASKS, TWINS = "images.npy", "masks.npy", "twins.npy"

HASHED = (IMAGES, INDEX, MASKS, TWINS)
"""Files whose SHA-256 make the fingerprint."""

NAMES = (*HASHED, BLOCKS, MANIFEST)
"""Names of all files of a store."""

Count = Annotated[int, msgspec.Meta(ge=0)]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Index:
    """What is known of the n images of a store, by row, as written to index.json.

    Attributes:
        names: file stems.
        labels: classes, from 0 on.
        sizes: original heights and widths in pixels.
        groups: lesions or patients; None if the data set has none.
        pixels: hash of each image's original pixels.
        splits: rows by part and split.
        twins: by which near-twins the images were divided.
    """

    names: list[str]
    labels: list[Count]
    sizes: list[tuple[Annotated[int, msgspec.Meta(ge=1)], Annotated[int, msgspec.Meta(ge=1)]]]
    groups: list[str] | None
    pixels: list[str]
    splits: dict[str, dict[str, list[Count]]]
    twins: TwinRules


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a manifest says of the files of its store.

    Attributes:
        folder: of the store.
        hashes: SHA-256 by file name.
        size: side of the square images in pixels.
        counts: images by class.
        parts: number of images by split and part.
        advice: a sentence for errors that says what to do.
    """

    folder: Path
    hashes: Mapping[str, str]
    size: int
    counts: Sequence[int]
    parts: Mapping[str, Mapping[str, int]]
    advice: str

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(self.counts)


def read_index(said: Said) -> Index:
    """Return what index.json holds.

    Raises:
        Damaged: it is missing, has changed, or does not agree with the manifest.
    """
    path = said.folder / INDEX
    index = _read(said, INDEX, Index)
    count = said.count
    lengths = {
        "names": len(index.names),
        "labels": len(index.labels),
        "sizes": len(index.sizes),
        "pixels": len(index.pixels),
        "groups": count if index.groups is None else len(index.groups),
    }
    wrong = [f"{length} {name} of {count} images" for name, length in lengths.items()]
    wrong = [text for text, length in zip(wrong, lengths.values(), strict=True) if length != count]
    if not wrong and Counter(index.labels) != dict(enumerate(said.counts)):
        wrong.append("other counts of its classes than the manifest")
    found = {
        split: {part: len(rows) for part, rows in parts.items()}
        for split, parts in index.splits.items()
    }
    if found != said.parts:
        wrong.append("other parts than the manifest")
    rows = [rows for parts in index.splits.values() for rows in parts.values() if rows]
    if any(max(some) >= count for some in rows):
        wrong.append(f"rows beyond its {count} images")
    if wrong:
        raise Damaged(shown(path), f"contradicts itself: {', '.join(wrong)}", said.advice)
    return index


def read_blocks(said: Said) -> dict[str, Blocks]:
    """Return the checksums of the arrays by file name.

    Raises:
        Damaged: blocks.json is missing, has changed, or does not agree with the manifest.
    """
    found = _read(said, BLOCKS, dict[str, Blocks])
    images = found[IMAGES].shape if IMAGES in found else ()
    expected: dict[str, Sequence[int]] = {
        IMAGES: (said.count, said.size, said.size, *images[3:4]),
        MASKS: (said.count, said.size, said.size),
        TWINS: (said.count, SKETCH),
    }
    arrays = {name for name in said.hashes if name in expected}
    wrong = sorted(arrays ^ found.keys()) + [
        f"{name} of shape {tuple(blocks.shape)}"
        for name, blocks in found.items()
        if tuple(blocks.shape) != tuple(expected.get(name, ()))
    ]
    if wrong or images[3:4] not in ((1,), (3,)):
        raise Damaged(
            shown(said.folder / BLOCKS),
            f"does not describe the arrays of the manifest ({', '.join(wrong) or images})",
            said.advice,
        )
    return found


def _read(said: Said, name: str, kind: type[T]) -> T:
    """Return the value of a JSON file of the store after checking its SHA-256."""
    path = said.folder / name
    try:
        content = files.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Damaged(shown(path), "is missing", said.advice) from error
    except Damaged as error:
        raise Damaged(shown(path), error.what, said.advice) from error
    check(content, said.hashes.get(name, ""), path, said.advice)
    try:
        return files.decode(content, kind, path)
    except Damaged as error:
        raise Damaged(shown(path), error.what, said.advice) from error

"""Data stores: a data set as one array of uint8 in a file, with labels, groups and splits.

Files under ROOT/NAME: ``images.npy``, ``masks.npy`` if there are masks, ``twins.npy`` by which
near-twins are found, ``index.json``, ``blocks.json`` with checksums of the arrays' blocks, and
``manifest.json`` with the SHA-256 of each file, one fingerprint over all of them but the checksums,
and a digest of itself. Whatever is read is checked: a changed byte in any of them is an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from harness import files, sealed, seed
from harness.canonical import digest
from harness.data import contents, placing, shrink
from harness.data.blocks import Rows, StoredArray
from harness.data.contents import HASHED, IMAGES, MASKS, TWINS
from harness.data.overlap import TITLES, Overlap
from harness.data.split import NOTHING_JOINED, Joined
from harness.data.twins import RULES, TwinRules
from harness.errors import Damaged, UserError, listed, shown
from harness.spec.dataset import Dataset, Split

FORMAT = 3
"""Version of the layout on disk; other versions are refused."""

FINGERPRINT_FORMAT = 2
"""Version of what the fingerprint covers: it names the data in keys, so it does not move with
checksums that are added to a store."""

RESAMPLING = "Lanczos, antialiased; smaller images as they are"
"""How images are brought to the store's size."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Summary of a data store, as written to manifest.json.

    Attributes:
        dataset: name of the data set.
        size: side of the square images in pixels.
        fingerprint: SHA-256 over all contents: images, labels, names, groups, splits.
        parts: number of images by split and part.
        files: SHA-256 by file name.
        resampling: the filter with which images were brought to their size.
        archives: what the store was made from, by name, with its checksum.
        remarks: sentences of the reader about the archive, which tables print.
        split: the split that is used where none is asked for.
        classes: class names in label order; empty where nothing is prepared.
        counts: images per class.
        twins: when two images are near-twins, see ``harness.data.twins``.
        joined: what the clean split keeps together.
        overlaps: how many images of each part have a twin or share a group in another part.
        blocks: SHA-256 of blocks.json, which is no part of the fingerprint.
    """

    dataset: str
    size: Annotated[int, msgspec.Meta(ge=0, le=2**20)]
    fingerprint: str
    parts: Mapping[str, Mapping[str, contents.Count]]
    files: Mapping[str, str]
    resampling: str = RESAMPLING
    archives: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    split: Split = "paper"
    classes: tuple[str, ...] = ()
    counts: tuple[contents.Count, ...] = ()
    twins: TwinRules = RULES
    joined: Joined = NOTHING_JOINED
    overlaps: tuple[Overlap, ...] = ()
    blocks: str = ""


@dataclass(frozen=True, kw_only=True)
class ImageStore:
    """An ordered selection of n of the N images of a data store.

    Attributes:
        dataset: name of the data set.
        images: (N, S, S, C) uint8, in the store's file: all images of the store; one whose height
            or width is below S lies in the upper left corner, the rest is 0.
        index: (n,) rows of the selected images in ``images``.
        labels: (n,) int64.
        names: n file stems.
        groups: n lesion or patient ids, None if the data set has none.
        sizes: (n, 2) int64, original height and width in pixels.
        masks: (N, S, S) uint8 in {0, 1}, in the store's file, None if the data set has none.
    """

    dataset: str
    images: Rows
    index: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...] | None
    sizes: np.ndarray
    masks: Rows | None

    def __len__(self) -> int:
        """Return the number of selected images n."""
        return len(self.index)

    def take(self, rows: np.ndarray) -> ImageStore:
        """Return the images at the given positions of this selection, in that order."""
        return replace(
            self,
            index=self.index[rows],
            labels=self.labels[rows],
            names=tuple(self.names[row] for row in rows),
            groups=None if self.groups is None else tuple(self.groups[row] for row in rows),
            sizes=self.sizes[rows],
        )

    def load(self, size: int | None = None) -> np.ndarray:
        """Return the images in memory, (n, S, S, C) uint8, area-averaged down to ``size``.

        Images are never enlarged: a larger ``size`` returns them at the store's size, and an image
        whose height or width is smaller fills only that part of the array, see ``extents``.
        """
        return shrink.rows(self.images, self.index, self.sizes, size)

    def extents(self, size: int | None = None) -> np.ndarray:
        """Return the heights and widths in pixels, (n, 2), that images fill in what is loaded."""
        side = self.images.shape[1]
        extents: np.ndarray = np.minimum(self.sizes, side if size is None else min(size, side))
        return extents

    def load_masks(self, size: int | None = None) -> np.ndarray:
        """Return the masks in memory, (n, S, S) uint8 in {0, 1}.

        A pixel is 1 where at least half of its area is.

        Raises:
            UserError: the data set has no masks.
        """
        if self.masks is None:
            raise UserError(f"Data set {self.dataset!r} has no masks; choose one that has (busi).")
        masks = self.masks[self.index][..., None] * np.uint8(255)
        scaled = shrink.rows(masks, np.arange(len(masks)), self.sizes, size)
        return (scaled[..., 0] >= 128).astype(np.uint8)


class Store:
    """An open data store.

    Attributes:
        manifest: its summary.
        splits: rows by part and split.
        pixels: hash of each image's original pixels.
        rules: when two images are near-twins.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Read the index and open the arrays, whose rows are read and checked on use.

        Raises:
            Damaged: a file is missing, or is not as it was prepared.
        """
        self.manifest = manifest
        said = said_by(folder, manifest)
        index = contents.read_index(said)
        described = contents.read_blocks(said)
        self.splits = index.splits
        self.pixels = index.pixels
        self.rules = index.twins
        self.arrays = {
            name: StoredArray(folder / name, blocks, index.names, said.advice)
            for name, blocks in described.items()
        }
        self._all = ImageStore(
            dataset=manifest.dataset,
            images=self.arrays[IMAGES],
            index=np.arange(len(index.names)),
            labels=np.asarray(index.labels, np.int64),
            names=tuple(index.names),
            groups=None if index.groups is None else tuple(index.groups),
            sizes=np.asarray(index.sizes, np.int64).reshape(-1, 2),
            masks=self.arrays.get(MASKS),
        )

    def part(self, split: str, part: str) -> ImageStore:
        """Return a part ("train", "eval", "val", "test") of a split ("paper", "clean")."""
        return self._all.take(np.asarray(self.splits[split][part], np.int64))

    def sketches(self) -> np.ndarray:
        """Return the images' sketches, (N, ``twins.SKETCH``) uint8."""
        return np.asarray(self.arrays[TWINS])

    def everything(self) -> ImageStore:
        """Return all images, ordered by name."""
        return self._all


def said_by(folder: Path, manifest: Manifest) -> contents.Said:
    """Return what a manifest says of the files in its folder."""
    return contents.Said(
        folder=folder,
        hashes={**manifest.files, contents.BLOCKS: manifest.blocks},
        size=manifest.size,
        counts=manifest.counts,
        parts=manifest.parts,
        advice=advice_for(manifest.dataset),
    )


def advice_for(name: str) -> str:
    """Return what to do with a damaged store of a data set, as a sentence for errors."""
    return (
        f"Run `harness data prepare {shown(name)}` again; the same images give the same"
        " fingerprint, so that finished runs stay valid."
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json with the digest of its content."""
    content = sealed.seal({"format": FORMAT, **asdict(manifest)})
    files.write_bytes(folder / contents.MANIFEST, content)


def read_manifest(root: Path, name: str) -> Manifest | None:
    """Return the manifest of a data set, None if it is not prepared.

    Raises:
        UserError: the file is of another version.
        Damaged: it is missing beside other files of a store, has changed since it was written, or
            is that of another data set.
    """
    path, advice = root / name / contents.MANIFEST, advice_for(name)
    placing.recover(root, name)
    try:
        content = files.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        _check_unprepared(root / name, advice)
        return None
    except Damaged as error:
        raise Damaged(error.path, error.what, advice) from error
    try:
        fields = files.decode(content, dict[str, Any], path)
    except Damaged as error:
        raise Damaged(shown(path), error.what, advice) from error
    version, unchanged = fields.pop("format", None), sealed.whole(content)
    if version != FORMAT and (unchanged or sealed.FIELD not in fields):
        raise UserError(
            f"{shown(path)} has format {version!r}, this version reads {FORMAT}, which holds"
            f" checksums of all images. {advice}"
        )
    if not unchanged:
        changed = "has changed since it was written: its digest is not that of its content"
        raise Damaged(shown(path), changed, advice)
    del fields[sealed.FIELD]
    try:
        manifest = msgspec.convert(fields, Manifest)
    except msgspec.ValidationError as error:
        what = f"does not fit its format: {files.field_error(error)}"
        raise Damaged(shown(path), what, advice) from error
    if manifest.dataset != name:
        what = f"is the manifest of {shown(manifest.dataset)!r}, not of {shown(name)!r}"
        raise Damaged(shown(path), what, advice)
    wrong = _contradictions(manifest)
    if wrong:
        raise Damaged(shown(path), f"contradicts itself: {'; '.join(wrong)}", advice)
    return manifest


def _check_unprepared(folder: Path, advice: str) -> None:
    """Check that a folder without manifest is not what is left of a store.

    Raises:
        Damaged: it holds other files of a store, or its name is that of something else.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        what = "a link to nothing" if folder.is_symlink() else "no folder"
        raise Damaged(shown(folder), f"is {what}, but has the name of a data set", advice)
    left = [name for name in contents.NAMES if os.path.lexists(folder / name)]
    if left:
        path = shown(folder / contents.MANIFEST)
        raise Damaged(path, f"is missing beside {listed(left)}", advice)


def _contradictions(manifest: Manifest) -> list[str]:
    """Return what in a manifest cannot be, such as a class without a count."""
    parts = {part for parts in manifest.parts.values() for part in parts}
    parts |= {part for found in manifest.overlaps for part in (found.part, found.other)}
    problems = {
        "classes and counts are not equally many": len(manifest.classes) != len(manifest.counts),
        "its fingerprint is not that of its files": fingerprint(manifest.files)
        != manifest.fingerprint,
        f"it has no split {manifest.split!r}": manifest.split not in manifest.parts,
        "its files are not those of a store": not set(manifest.files) <= set(HASHED),
        "it has unknown parts": not parts <= set(TITLES),
    }
    return [text for text, found in problems.items() if found]


def check_classes(manifest: Manifest, dataset: Dataset) -> None:
    """Check that a store holds the classes and counts that its data set describes.

    Raises:
        UserError: it does not: a description was edited, or replaced without preparing.
    """
    held = dict(zip(manifest.classes, manifest.counts, strict=True))
    wanted = dict(zip(dataset.classes, dataset.counts, strict=True))
    if manifest.classes and (manifest.classes != dataset.classes or held != wanted):
        differing = [
            f"{shown(name)!r} ({held.get(name, 0)} in the store, {wanted.get(name, 0)} described)"
            for name in dict.fromkeys([*held, *wanted])
            if held.get(name) != wanted.get(name)
        ]
        raise UserError(
            f"The store of {dataset.name!r} does not hold the classes that its description"
            f" ({dataset.source}) names: {listed(differing) or 'their order differs'}. Correct the"
            f" description, or run `harness data prepare {dataset.name}` again."
        )


def open_store(root: Path, name: str) -> Store:
    """Open a prepared data set; its images are compared with their checksums when they are read.

    Raises:
        UserError: it is not prepared.
        Damaged: a file is missing, or is not as it was prepared.
    """
    manifest = read_manifest(root, name)
    while manifest is not None:
        try:
            return Store(root / name, manifest)
        except Damaged:
            # A new store may have taken the place of this one since its manifest was read.
            read, manifest = manifest, read_manifest(root, name)
            if read == manifest:
                raise
    raise UserError(
        f"Data set {name!r} is not prepared under {root}; run"
        f" `harness data prepare {name} --from ARCHIVE`."
    )


def fingerprint(hashes: Mapping[str, str]) -> str:
    """Return the fingerprint: a digest of the files' SHA-256 hashes by name."""
    return digest({"format": FINGERPRINT_FORMAT, "files": dict(hashes)})


def subset(store: ImageStore, count: int | None) -> ImageStore:
    """Draw ``count`` images stratified by class, the same for every seed; None keeps all.

    Each class keeps its share by the largest-remainder method, with at least one image.
    """
    if count is None or count >= len(store.labels):
        return store
    labels = store.labels
    classes, sizes = np.unique(labels, return_counts=True)
    share = sizes * (count / len(labels))
    quota = np.maximum(np.floor(share).astype(int), 1)
    for position in np.argsort(quota - share, kind="stable"):
        if quota.sum() >= count:
            break
        quota[position] += 1
    random = np.random.default_rng(seed.derive("subset", store.dataset, count, len(labels)))
    rows = [
        random.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(classes, quota, strict=True)
    ]
    return store.take(np.sort(np.concatenate(rows)))

"""Data stores: a data set as one memory-mapped uint8 array with labels, groups and splits.

Files under ROOT/NAME: ``images.npy``, ``masks.npy`` if there are masks, ``twins.npy`` by which
near-twins are found, ``index.json``, and ``manifest.json`` with the SHA-256 of each file and one
fingerprint over all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness import files, seed
from harness.canonical import digest
from harness.data import placing
from harness.data.overlap import Overlap
from harness.data.split import NOTHING_JOINED, Joined
from harness.data.twins import RULES, TwinRules
from harness.errors import UserError, listed
from harness.spec.dataset import Dataset, Split

FORMAT = 2
"""Version of the layout on disk; other versions are refused."""

STAMP = ".verified.json"
"""File with sizes and times of verified files, so that unchanged ones are not hashed again."""

RESAMPLING = "Lanczos, antialiased; smaller images as they are"
"""How images are brought to the store's size."""

CHUNK = 256
"""Number of images resized at once."""


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
    """

    dataset: str
    size: int
    fingerprint: str
    parts: Mapping[str, Mapping[str, int]]
    files: Mapping[str, str]
    resampling: str = RESAMPLING
    archives: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    split: Split = "paper"
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    twins: TwinRules = RULES
    joined: Joined = NOTHING_JOINED
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageStore:
    """An ordered selection of n of the N images of a data store.

    Attributes:
        dataset: name of the data set.
        images: (N, S, S, C) uint8, memory-mapped: all images of the store; one whose height or
            width is below S lies in the upper left corner, the rest is 0.
        index: (n,) rows of the selected images in ``images``.
        labels: (n,) int64.
        names: n file stems.
        groups: n lesion or patient ids, None if the data set has none.
        sizes: (n, 2) int64, original height and width in pixels.
        masks: (N, S, S) uint8 in {0, 1}, memory-mapped, None if the data set has none.
    """

    dataset: str
    images: np.ndarray
    index: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...] | None
    sizes: np.ndarray
    masks: np.ndarray | None

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
        return _load(self.images, self.index, self.sizes, size)

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
        scaled = _load(masks, np.arange(len(masks)), self.sizes, size)
        return (scaled[..., 0] >= 128).astype(np.uint8)


def _load(images: np.ndarray, index: np.ndarray, sizes: np.ndarray, size: int | None) -> np.ndarray:
    """Return rows of (N, S, S, C) uint8 images, area-averaged to ``size`` if that is smaller.

    Args:
        images: the rows, each image in the upper left corner.
        index: (n,) wanted rows.
        sizes: (n, 2) original heights and widths of the wanted rows.
        size: wanted side; None for S.
    """
    side = images.shape[1]
    if size is None or size >= side:
        return np.ascontiguousarray(images[index])
    result = np.empty((len(index), size, size, images.shape[3]), np.uint8)
    lengths = np.minimum(sizes, side)
    for begin in range(0, len(index), CHUNK):
        rows = index[begin : begin + CHUNK]
        # The area average is separable: A X B^T for each channel X, with A of the image's height
        # and B of its width.
        down, across = (
            _area_matrices(axis, side, size) for axis in lengths[begin : begin + CHUNK].T
        )
        pixels = images[rows].transpose(0, 3, 1, 2).astype(np.float32)
        scaled = down @ pixels @ across.swapaxes(-1, -2)
        result[begin : begin + CHUNK] = np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return result


def _area_matrices(lengths: np.ndarray, side: int, target: int) -> np.ndarray:
    """Return ``_area_matrix`` of each length, (n, 1, target, side); (target, side) if equal."""
    unique, which = np.unique(lengths, return_inverse=True)
    matrices = np.stack([_area_matrix(int(length), side, target) for length in unique])
    # One matrix for all images is multiplied faster than copies of it.
    return matrices[0] if len(unique) == 1 else matrices[which][:, None]


def _area_matrix(length: int, side: int, target: int) -> np.ndarray:
    """Return weights (target, side) that average the source pixels under each target pixel.

    Args:
        length: pixels of the image, which come first; one that fits the target stays as it is.
        side: pixels of the array.
        target: pixels of the result.
    """
    filled = min(length, target)
    matrix = np.zeros((target, side), np.float32)
    edges = np.linspace(0, length, filled + 1)
    pixel = np.arange(length)
    # Overlap of target pixel [edges[t], edges[t + 1]] with source pixel [s, s + 1]; rows sum to 1.
    low = np.maximum(edges[:-1, None], pixel)
    high = np.minimum(edges[1:, None], pixel + 1)
    matrix[:filled, :length] = np.maximum(high - low, 0) * (filled / length)
    return matrix


class Store:
    """An open data store.

    Attributes:
        manifest: its summary.
        splits: rows by part and split.
        pixels: hash of each image's original pixels.
        rules: when two images are near-twins.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Read the index and map the arrays, whose pixels are read on use."""
        self.manifest = manifest
        index = _json(folder / "index.json")
        self.splits: dict[str, dict[str, list[int]]] = index["splits"]
        self.pixels: list[str] = index["pixels"]
        self.rules = msgspec.convert(index["twins"], TwinRules)
        self._folder = folder
        masks = folder / "masks.npy"
        count = len(index["labels"])
        self._all = ImageStore(
            dataset=manifest.dataset,
            images=np.load(folder / "images.npy", mmap_mode="r"),
            index=np.arange(count),
            labels=np.asarray(index["labels"], np.int64),
            names=tuple(index["names"]),
            groups=None if index["groups"] is None else tuple(index["groups"]),
            sizes=np.asarray(index["sizes"], np.int64),
            masks=np.load(masks, mmap_mode="r") if masks.exists() else None,
        )

    def part(self, split: str, part: str) -> ImageStore:
        """Return a part ("train", "eval", "val", "test") of a split ("paper", "clean")."""
        return self._all.take(np.asarray(self.splits[split][part], np.int64))

    def sketches(self) -> np.ndarray:
        """Return the images' sketches, (N, ``twins.SKETCH``) uint8."""
        sketches: np.ndarray = np.load(self._folder / "twins.npy")
        return sketches

    def everything(self) -> ImageStore:
        """Return all images, ordered by name."""
        return self._all


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def read_manifest(root: Path, name: str) -> Manifest | None:
    """Return the manifest of a data set, None if it is not prepared.

    Raises:
        UserError: the file is truncated or of another version.
    """
    path = root / name / "manifest.json"
    advice = f"run `harness data prepare {name}` again."
    placing.recover(root, name)
    try:
        content = files.read_json(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} cannot be read (truncated?); {advice}") from error
    version = content.pop("format", None) if isinstance(content, dict) else None
    if version != FORMAT:
        raise UserError(
            f"{path} has format {version!r}, this version reads {FORMAT} (other pixels and splits);"
            f" {advice}"
        )
    try:
        return msgspec.convert(content, Manifest)
    except msgspec.ValidationError as error:
        raise UserError(f"{path} does not have the fields of its format; {advice}") from error


def check_classes(manifest: Manifest, dataset: Dataset) -> None:
    """Check that a store holds the classes and counts that its data set describes.

    Raises:
        UserError: it does not: a description was edited, or replaced without preparing.
    """
    held = dict(zip(manifest.classes, manifest.counts, strict=True))
    wanted = dict(zip(dataset.classes, dataset.counts, strict=True))
    if manifest.classes and (manifest.classes != dataset.classes or held != wanted):
        differing = [
            f"{name!r} ({held.get(name, 0)} in the store, {wanted.get(name, 0)} described)"
            for name in dict.fromkeys([*held, *wanted])
            if held.get(name) != wanted.get(name)
        ]
        raise UserError(
            f"The store of {dataset.name!r} does not hold the classes that its description"
            f" ({dataset.source}) names: {listed(differing) or 'their order differs'}. Correct the"
            f" description, or run `harness data prepare {dataset.name}` again."
        )


def open_store(root: Path, name: str) -> Store:
    """Open a prepared data set after checking its contents against the manifest.

    Files whose sizes and times have not changed since the last check are not hashed again.

    Raises:
        UserError: it is not prepared, or a file's contents have changed.
    """
    manifest = read_manifest(root, name)
    if manifest is None:
        raise UserError(
            f"Data set {name!r} is not prepared under {root}; run"
            f" `harness data prepare {name} --from ARCHIVE`."
        )
    folder = root / name
    if _stamp(folder, manifest) != _read_stamp(folder):
        wrong = differences(folder, manifest)
        if wrong:
            raise UserError(
                f"The store {folder} does not match its fingerprint"
                f" {manifest.fingerprint[:12]}: {'; '.join(wrong)}."
                f" Run `harness data prepare {name}` again."
            )
        write_stamp(folder, manifest)
    return Store(folder, manifest)


def differences(folder: Path, manifest: Manifest) -> list[str]:
    """Hash all files and return a description of each that differs from the manifest."""
    wrong = []
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.exists():
            wrong.append(f"{name} is missing")
        elif files.sha256(path) != expected:
            wrong.append(f"{name} has changed")
    if not wrong and fingerprint(manifest.files) != manifest.fingerprint:
        wrong.append("manifest.json has changed")
    return wrong


def fingerprint(hashes: Mapping[str, str]) -> str:
    """Return the fingerprint: a digest of the files' SHA-256 hashes by name."""
    return digest({"format": FORMAT, "files": dict(hashes)})


def _stamp(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Return sizes and modification times of a store's files, with its fingerprint."""
    stats = {}
    for name in (*manifest.files, "manifest.json"):
        path = folder / name
        if path.exists():
            stat = path.stat()
            stats[name] = [stat.st_size, stat.st_mtime_ns]
    return {"fingerprint": manifest.fingerprint, "files": stats}


def _read_stamp(folder: Path) -> dict[str, Any] | None:
    """Return the recorded stamp, None if there is none or it is damaged."""
    try:
        stamp: dict[str, Any] = json.loads((folder / STAMP).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return stamp


def write_stamp(folder: Path, manifest: Manifest) -> None:
    """Record that the files were verified; does nothing in a folder that cannot be written."""
    if files.writable(folder):
        files.write_json(folder / STAMP, _stamp(folder, manifest))


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

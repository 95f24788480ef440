"""Attention and masking weights of some images by epoch, kept beside a stage where it is asked for.

They are for figures alone: no record names them, no number depends on them, and a stage is finished
without them. A digest in the file checks its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import Damaged
from harness.store import form, predictions
from harness.store.predictions import UnusableError

FOLDER = "maps"
"""Folder of these files in a run store."""

IMAGES, EPOCHS = 6, 12
"""Most images and most epochs of a stage that are kept."""

NUMBER_BYTES = 2
"""Bytes of a number: half precision, which a picture of 256 colours cannot show."""

DIGEST = "digest"
"""Name of the array that holds the digest of all others."""


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Maps of n images at E epochs, from patches of a grid of L.

    Attributes:
        names: of the images.
        epochs: (E,) epochs, from 0 on, after which the maps were taken, ascending.
        attention: (E, n, heads, L) attention of [CLS] in the encoder's last block.
        weights: (E, n, L) weights that the masks of the epoch followed, for whole images: 1
            everywhere where masks are uniform; NaN where they follow something else than maps.
        guided: (E,) bool, whether masks followed maps in the epoch.
    """

    names: tuple[str, ...]
    epochs: np.ndarray
    attention: np.ndarray
    weights: np.ndarray
    guided: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the file, without its digest."""
        return {
            "names": np.asarray(self.names),
            "epochs": self.epochs.astype(np.int64),
            "attention": self.attention.astype(np.float16),
            "weights": self.weights.astype(np.float16),
            "guided": self.guided.astype(bool),
        }

    def before(self, epoch: int) -> Maps:
        """Return the maps of the epochs before another."""
        rows = self.epochs < epoch
        return Maps(
            names=self.names,
            epochs=self.epochs[rows],
            attention=self.attention[rows],
            weights=self.weights[rows],
            guided=self.guided[rows],
        )


def path_of(folder: Path, key: str) -> Path:
    """Return the path of a stage's maps in a run store."""
    return folder / FOLDER / f"{key}.npz"


def kept_epochs(epochs: int) -> tuple[int, ...]:
    """Return the epochs, from 0 on, after which maps are kept: first, last, and evenly between."""
    count = min(epochs, EPOCHS)
    if count < 2:
        return tuple(range(count))
    return tuple(sorted({round(i * (epochs - 1) / (count - 1)) for i in range(count)}))


def stored_bytes(epochs: int, heads: int, patches: int) -> int:
    """Return about how many bytes a stage's maps take."""
    return len(kept_epochs(epochs)) * IMAGES * (heads + 1) * patches * NUMBER_BYTES


def write(folder: Path, key: str, maps: Maps) -> Path:
    """Write the maps of a stage atomically.

    Raises:
        UserError: the folder cannot be written.
    """
    form.mark(folder)
    path, arrays = path_of(folder, key), maps.arrays()
    predictions.write(path, {**arrays, DIGEST: np.asarray(predictions.digest(arrays))})
    return path


def read(folder: Path, key: str) -> Maps | None:
    """Return the maps of a stage, None where none were kept.

    Raises:
        Damaged: the file was changed or cannot be read.
    """
    path = path_of(folder, key)
    if not path.exists():
        return None
    check(path)
    with np.load(path) as found:
        arrays: Mapping[str, np.ndarray] = {name: found[name] for name in found.files}
    return Maps(
        names=tuple(str(name) for name in arrays["names"]),
        epochs=arrays["epochs"],
        attention=arrays["attention"].astype(np.float32),
        weights=arrays["weights"].astype(np.float32),
        guided=arrays["guided"],
    )


def check(path: Path) -> None:
    """Check a file of maps against the digest in it.

    Raises:
        Damaged: it was changed or cannot be read.
    """
    try:
        arrays = dict(predictions.read_any(path))
        expected = str(arrays.pop(DIGEST, ""))
        if predictions.digest(arrays) != expected or set(arrays) != NAMES:
            raise Damaged(f"The file {path} of maps", "was changed after it was written")
    except UnusableError as error:
        raise Damaged(f"The file {path} of maps", "cannot be read (truncated?)") from error


NAMES = {"names", "epochs", "attention", "weights", "guided"}
"""Names of the arrays of a file."""

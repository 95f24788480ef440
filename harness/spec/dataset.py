"""Descriptions of data sets: official archive, classes, splits and their parts."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal, NamedTuple, Self

from harness.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""File name endings of images, in any case; files are decoded by their contents."""


class Source(ABC):
    """An opened archive or folder of files.

    Attributes:
        path: the archive or folder.
        remarks: sentences about what was found, which the store keeps and tables print, such as
            that no file says which images show one patient.
    """

    def __init__(self, path: Path) -> None:
        """Set the path; subclasses open it."""
        self.path = path
        self.remarks: list[str] = []

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files, sorted, with forward slashes."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises:
            ValueError: the file cannot be read (corrupt, too large).
        """

    @abstractmethod
    def close(self) -> None:
        """Close the archive."""

    def __enter__(self) -> Self:
        """Return the source, which is closed at the end of the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the archive."""
        self.close()

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file as dictionaries by column.

        Raises:
            UserError: the file is not a readable CSV file.
        """
        try:
            text = self.read(name).decode("utf-8-sig")
            return list(csv.DictReader(io.StringIO(text), restval=""))
        except (ValueError, csv.Error) as error:
            raise UserError(f"{self.path}: {name} is not a table that can be read.") from error

    def images(self) -> list[str]:
        """Return the names of all images, sorted."""
        return [n for n in self.names() if PurePosixPath(n).suffix.lower() in SUFFIXES]


PartName = Literal["train", "eval", "val", "test"]
"""Name of a part of a split."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One labelled image of an archive.

    Attributes:
        name: file name without ending, unique in the data set.
        label: index of its class.
        image: name of the image's file in the archive.
        masks: names of its masks' files, which are merged into one mask.
        group: identifier of the lesion or patient; the clean split never divides a group.
        part: the part in which the archive's folders or a user's split put it; None if they do
            not.
        lesion: whether its masks must have lesion pixels (True) or must not (False); None: either.
    """

    name: str
    label: int
    image: str
    masks: tuple[str, ...] = ()
    group: str | None = None
    part: PartName | None = None
    lesion: bool | None = None


Listing = tuple[Item, ...]
"""All images of a data set."""

Split = Literal["paper", "clean", "given"]
"""Name of a split, see ``PARTS``: of the paper's sizes, with whole groups, or a user's own."""


class Parts(NamedTuple):
    """Names of a split's parts by what they are used for; two uses may share a part."""

    trained_on: str
    selected_on: str
    reported: str


PARTS: Mapping[Split, Parts] = MappingProxyType(
    {
        "paper": Parts(trained_on="train", selected_on="eval", reported="eval"),
        "clean": Parts(trained_on="train", selected_on="val", reported="test"),
        "given": Parts(trained_on="train", selected_on="val", reported="test"),
    }
)
"""The parts of each split, whose images ``harness.data.parts`` finds."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Description of a data set: its official archive and how to read it.

    Attributes:
        name: name on the command line and of the prepared data set's folder.
        title: name in tables.
        classes: class names in label order (K of them).
        counts: images per class over the whole data set, in the order of ``classes``.
        sizes: images per part of the paper's split, ``{"train": ..., "eval": ...}``.
        channels: 1 for greyscale images, else 3; as many are stored.
        source: where a user gets the official archive.
        licence: the data's licence, in words.
        listing: function that returns the labelled images of an opened archive or folder.
        phantom: family of generated images that replaces it in the ``smoke`` profile.
        split: the split that is used where none is asked for.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    sizes: Mapping[str, int]
    channels: int
    source: str
    licence: str
    listing: Callable[[Source], Listing]
    phantom: str | None = None
    split: Split = "paper"

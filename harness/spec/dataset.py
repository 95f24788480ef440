"""What a data set is: its official archive, its classes, its splits and their parts."""

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
"""Images by their name's ending, in any case; the contents decide how they are decoded."""


class Source(ABC):
    """An opened archive or folder."""

    def __init__(self, path: Path) -> None:
        """Remember where it is."""
        self.path = path

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of all files, sorted, with forward slashes."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises:
            ValueError: it cannot be read (corrupt, too large).
        """

    @abstractmethod
    def close(self) -> None:
        """Release what is open."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file.

        Raises:
            UserError: it cannot be read as one.
        """
        try:
            text = self.read(name).decode("utf-8-sig")
            return list(csv.DictReader(io.StringIO(text), restval=""))
        except (ValueError, csv.Error) as error:
            raise UserError(f"{self.path}: {name} is not a table that can be read.") from error

    def images(self) -> list[str]:
        """Return the names of all images, sorted."""
        return [n for n in self.names() if PurePosixPath(n).suffix.lower() in SUFFIXES]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image of an archive.

    Attributes:
        name: the stem, unique in the data set.
        label: its class.
        image: the image's member.
        masks: its masks' members, merged into one.
        group: lesion or patient; no group is divided between parts of the clean split.
        part: the part that the archive's folders put it in, if they do.
        lesion: whether its masks must have a pixel that is set, or must not; None: either.
    """

    name: str
    label: int
    image: str
    masks: tuple[str, ...] = ()
    group: str | None = None
    part: Literal["train", "eval"] | None = None
    lesion: bool | None = None


Listing = tuple[Item, ...]

Split = Literal["paper", "clean"]


class Parts(NamedTuple):
    """Names of a split's parts by what they are used for; two uses may share a part."""

    trained_on: str
    selected_on: str
    reported: str


PARTS: Mapping[Split, Parts] = MappingProxyType(
    {
        "paper": Parts(trained_on="train", selected_on="eval", reported="eval"),
        "clean": Parts(trained_on="train", selected_on="val", reported="test"),
    }
)
"""The parts of each split, whose images ``harness.data.parts`` finds."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Describe a data set: what the official archive holds and how to list it.

    Attributes:
        name: the name on the command line and of the store.
        title: the name in tables.
        classes: class names in label order (K of them).
        counts: images per class over the whole data set, in the order of ``classes``.
        sizes: images per part of the paper's split, ``{"train": ..., "eval": ...}``.
        channels: 1 where the images are greyscale, else 3; the store keeps that many.
        source: where a user gets the official archive.
        licence: the data's licence, in words.
        listing: reads an opened archive or folder into labelled items.
        phantom: the phantom family that stands in for it in the ``smoke`` profile.
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

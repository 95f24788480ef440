"""Descriptions of data sets: official archive, classes, splits and their parts."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from harness.errors import UserError, listed

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"),
    # Not decoded, but counted, so that a message can say what they are.
    *(".heic", ".heif", ".avif", ".jp2", ".dcm"),
)
"""File name endings of images, in any case; files are decoded by their contents."""


MOST_COLUMNS, MOST_VALUES = 10_000, 50_000_000
"""Largest table that is read: one that is made to fill the memory is refused."""


class Source(ABC):
    """An opened archive or folder of files.

    Attributes:
        path: the archive or folder.
        remarks: sentences about what was found, which the store keeps and tables print, such as
            that no file says which images show one patient.
        decoder: decodes a file's bytes to an image of PIL's mode "L" or "RGB"; None for the formats
            of ``harness.data.formats``.
        white: value of white in the 16-bit images of this archive, one for the whole data set.
    """

    def __init__(self, path: Path) -> None:
        """Set the path; subclasses open it."""
        self.path = path
        self.remarks: list[str] = []
        self.white = 65535
        self.decoder: Callable[[bytes, str], Image.Image] | None = None

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

    def set_white(self, white: int) -> None:
        """Set the value that becomes white when 16-bit images are decoded."""
        self.white = white

    def set_decoder(self, decoder: Callable[[bytes, str], Image.Image]) -> None:
        """Set the function that decodes images; see ``decoder``."""
        self.decoder = decoder

    def head(self, name: str, count: int) -> bytes:
        """Return up to ``count`` first bytes of a file.

        Raises:
            ValueError: the file cannot be read.
        """
        return self.read(name)[:count]

    def same(self, first: str, second: str) -> bool:
        """Return whether two files have the same contents."""
        return self.read(first) == self.read(second)

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table as dictionaries by column.

        Columns are divided by commas, semicolons or tabs, whichever is the most frequent in the
        first line; the text is UTF-8, UTF-16 with its mark, or Latin-1. Blank lines are left out,
        as are blanks around names and values; a row that is cut short gets empty values.

        Raises:
            UserError: the file cannot be read, a column's name occurs twice, there is no row, or
                one has more values than there are columns.
        """
        try:
            rows = _rows(self.read(name))
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{self.path}: {name} is not a table that can be read ({error})."
            ) from error
        if len(rows) < 2:
            raise UserError(f"{self.path}: {name} is not a table with rows; get it again.")
        columns = rows[0]
        if len(columns) > MOST_COLUMNS or len(rows) * len(columns) > MOST_VALUES:
            raise UserError(
                f"{self.path}: {name} has {len(columns)} columns and {len(rows) - 1} rows; allowed"
                f" are {MOST_COLUMNS} columns and {MOST_VALUES} values. Keep the columns of names,"
                " classes and groups."
            )
        if len(set(columns)) < len(columns):
            raise UserError(f"{self.path}: {name} names a column twice: {listed(columns)}.")
        for row in rows:
            if len(row) > len(columns):
                raise UserError(
                    f"{self.path}: {name} has {len(columns)} columns ({listed(columns)}), but a row"
                    f" has {len(row)} values: {listed(row)}."
                )
        return [dict(itertools.zip_longest(columns, row, fillvalue="")) for row in rows[1:]]

    def images(self) -> list[str]:
        """Return the names of all images, sorted."""
        return [n for n in self.names() if PurePosixPath(n).suffix.lower() in SUFFIXES]


def _rows(content: bytes) -> list[list[str]]:
    """Return the rows of a table, the first of which names the columns.

    Raises:
        ValueError: the text cannot be decoded, or holds zero bytes.
        csv.Error: quotes do not match.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:  # needed columns are ASCII in either
            text = content.decode("latin-1")
    if "\0" in text:
        raise ValueError("it holds zero bytes; save it as UTF-8")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    stripped = [[value.strip() for value in row] for row in rows]
    return [row for row in stripped if any(row)]


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
        sizes: images per part of the paper's split, ``{"train": ..., "eval": ...}``; empty for
            images that the paper does not know.
        channels: 1 for greyscale images, else 3; as many are stored.
        source: where a user gets the official archive.
        licence: the data's licence, in words.
        listing: function that returns the labelled images of an opened archive or folder.
        phantom: family of generated images that replaces it in the ``smoke`` profile.
        split: the split that is used where none is asked for.
        group_title: what ``Item.group`` identifies, in the singular ("lesion").
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
    group_title: str = "group"

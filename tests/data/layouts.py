"""How a layout in which users have an official archive is described and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.archive import Given
from tests.archives import OFFICIAL, write_folder, write_zip

Members = dict[str, bytes]


@dataclass(frozen=True)
class Layout:
    """A layout, as a row of the table in docs/data.md.

    Attributes:
        dataset: name of the data set that is asked for.
        title: what a user has, in words.
        write: writes it below a folder and returns what is given to ``--from`` and ``--masks``.
        message: part of the error; empty where the layout is accepted.
        remark: part of the remark that the store keeps; empty where there is none.
        same: whether the store must be equal to that of the official layout.
    """

    dataset: str
    title: str
    write: Callable[[Path], Path | Given]
    message: str = ""
    remark: str = ""
    same: bool = True

    @property
    def result(self) -> str:
        """The last column of the table."""
        if self.message:
            return f"refused: {self.message}"
        return f"accepted: {self.remark}" if self.remark else "accepted"


def members_of(dataset: str) -> Members:
    """Return the files of the small official archive of a data set."""
    return OFFICIAL[dataset.removesuffix("-v2")]()[1]


def renamed(members: Mapping[str, bytes], *pairs: tuple[str, str]) -> Members:
    """Return members with parts of their names replaced, one after the other."""
    result = {}
    for name, content in members.items():
        for old, new in pairs:
            name = name.replace(old, new)
        result[name] = content
    return result


def in_zip(dataset: str, change: Callable[[Members], Members]) -> Callable[[Path], Path]:
    """Write a zip of the official members after a change."""
    return lambda folder: write_zip(folder / "archive.zip", change(members_of(dataset)))


def in_folder(dataset: str, change: Callable[[Members], Members]) -> Callable[[Path], Path]:
    """Write a folder of the official members after a change."""
    return lambda folder: write_folder(folder / "archive", change(members_of(dataset)))


def one_file(name: str, content: bytes) -> Callable[[Path], Path]:
    """Write a single file."""
    return lambda folder: write_folder(folder, {name: content}) / name

"""Files of one name in several folders: equal copies are one file, different ones are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from harness.data import formats
from harness.errors import UserError, listed
from harness.spec.dataset import Source

SHOWN = 5
"""Pairs of different files after which the comparison ends."""


def one_of_each(source: Source, files: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return one file per name: the first of several that are equal.

    Files are equal if their bytes are, or if both are images of equal size, mode and pixels, such
    as one that was stored again without loss.

    Args:
        source: the archive.
        files: paths by name.

    Raises:
        UserError: files of one name differ, for example a photograph and its mask or a smaller
            version of it; the message names both paths.
    """
    different: list[str] = []
    for name, paths in files.items():
        first, *others = paths
        for other in others:
            if not _equal(source, first, other):
                different.append(f"{name} ({first} and {other})")
                break
        if len(different) == SHOWN:
            break
    if different:
        least = "at least " if len(different) == SHOWN else ""
        raise UserError(
            f"{source.path}: {least}{len(different)} names stand for two different files:"
            f" {listed(different)}; give only the folder of the original images."
        )
    return {name: paths[0] for name, paths in files.items()}


def by_stem(names: Sequence[str]) -> dict[str, list[str]]:
    """Return paths by file name without folder and ending, in lower case."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(PurePosixPath(name).stem.lower(), []).append(name)
    return found


def _equal(source: Source, first: str, second: str) -> bool:
    """Return whether two files have equal bytes, or are images with equal pixels."""
    try:
        if source.same(first, second):
            return True
        with (
            formats.open_image(source.read(first)) as one,
            formats.open_image(source.read(second)) as two,
        ):
            return (one.mode, one.size, one.tobytes()) == (two.mode, two.size, two.tobytes())
    except formats.UNREADABLE:
        return False

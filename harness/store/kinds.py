"""Kinds of files that ``harness clean`` can free, each with its name, its reason and its option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of files.

    Attributes:
        why: what they are, and why they can be removed or are kept.
        option: what removes them; "" where the command does so by itself.
    """

    why: str
    option: str = ""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "finished-states": Kind(why="states of stages that are done"),
        "ended-claims": Kind(why="claims of processes that have ended"),
        "partial-files": Kind(why="halves of files from interrupted writes"),
        "interrupted-states": Kind(
            why="states of unfinished stages; the same command goes on from them",
            option="--keep needed, --keep last: those that no known experiment needs",
        ),
        "unfinished-weights": Kind(
            why="final weights of stages without a finished record",
            option="--keep needed, --keep last: those that no pending stage starts from",
        ),
        "encoders": Kind(
            why="pre-trained encoders",
            option="--keep needed, --keep last: those that no pending stage starts from",
        ),
        "models": Kind(
            why="models of finished chains",
            option="--keep needed: those that no pending stage starts from",
        ),
    }
)
"""All kinds by name, in the order in which they are shown."""

BY_DEFAULT = frozenset(name for name, kind in KINDS.items() if not kind.option)
"""Kinds that are removed without being asked for; nobody can want them any more."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Number of files of a kind, and their bytes."""

    files: int
    size: int


def sums(sizes: Iterable[tuple[str, int]]) -> dict[str, Sum]:
    """Return the sum of each kind that occurs, in the order of ``KINDS``.

    Args:
        sizes: kind and bytes of every file.
    """
    listed = list(sizes)
    return {
        name: Sum(files=len(found), size=sum(found))
        for name in KINDS
        if (found := [size for kind, size in listed if kind == name])
    }

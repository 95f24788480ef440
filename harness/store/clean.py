"""Find removable files of a run store: unneeded checkpoints, expired claims, partial files.

Records and predictions are never listed, nor any file of a stage that is being trained. While one
is, files of stages that no known experiment contains are kept as well: the running command may use
them next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.store import claim
from harness.store.record import Records

FOLDERS = ("records", "predictions", "checkpoints", "weights", "claims", "latency")
"""Folders that the harness writes; other files in a run store are ignored."""

SETTLED = claim.EXPIRY
"""Age in seconds from which a temporary file is taken to be left by an interrupted write."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A removable file, its size in bytes and the reason."""

    path: Path
    size: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Keys of stages by what still needs them.

    Attributes:
        known: stages of the considered experiments.
        pending: those of them without a finished record.
        weights: stages whose final weights a pending stage starts from.
    """

    known: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    weights: set[str] = field(default_factory=set)


def leftovers(records: Records, needs: Needs | None, *, keep_last: bool) -> list[Leftover]:
    """Return the files that can be removed from a run store.

    Args:
        records: of the store.
        needs: keys of needed stages; None keeps all checkpoints and weights.
        keep_last: also keep the weights of finished fine-tunings (all but pre-trainings).
    """
    folder = records.folder
    claimed = claim.living(folder)
    removable = [*_partial_files(folder), *_claims(folder, claimed)]
    if needs is not None:
        removable += _states(records, needs, claimed)
        removable += _weights(records, needs, claimed, keep_last=keep_last)
    return removable


def _partial_files(folder: Path) -> Iterator[Leftover]:
    now = time.time()
    for name in FOLDERS:
        for path in _sorted(folder / name, ".*"):
            if now - path.stat().st_mtime > SETTLED:
                yield _leftover(path, "interrupted write")


def _claims(folder: Path, claimed: set[str]) -> Iterator[Leftover]:
    for path in _sorted(folder / "claims", "[!.]*"):
        if path.stem not in claimed:
            yield _leftover(path, "its process has ended")


def _states(records: Records, needs: Needs, claimed: set[str]) -> Iterator[Leftover]:
    for path in _sorted(records.folder / "checkpoints", "[!.]*.pt"):
        if path.stem in needs.pending or _in_use(path.stem, needs, claimed):
            continue
        done = _done(records, path.stem)
        yield _leftover(path, "its stage is done" if done else "no known experiment needs it")


def _weights(
    records: Records, needs: Needs, claimed: set[str], *, keep_last: bool
) -> Iterator[Leftover]:
    for path in _sorted(records.folder / "weights", "[!.]*.pt"):
        key = path.stem
        if key in needs.weights or _in_use(key, needs, claimed):
            continue
        if not _done(records, key):
            yield _leftover(path, "its stage is not done")
        elif not keep_last or _pretrains(records, key):
            yield _leftover(path, "no pending stage starts from it")


def _in_use(key: str, needs: Needs, claimed: set[str]) -> bool:
    return key in claimed or (bool(claimed) and key not in needs.known)


def _done(records: Records, key: str) -> bool:
    record = records.read(key)
    return record is not None and record.status == "done"


def _pretrains(records: Records, key: str) -> bool:
    record = records.read(key)
    stages = record.definition.get("stages", []) if record is not None else []
    return bool(stages) and stages[-1]["phase"] == "pretrain"


def _sorted(folder: Path, pattern: str) -> Sequence[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def _leftover(path: Path, why: str) -> Leftover:
    return Leftover(path=path, size=path.stat().st_size, why=why)

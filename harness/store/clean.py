"""What can go from a run store: checkpoints that nothing needs, dead claims, halves of files.

Records and predictions are never touched, nor is anything of a stage that is being trained. While
something is, stages that no known experiment has are left alone: they may be that command's next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.store import claim
from harness.store.record import Records

FOLDERS = ("records", "predictions", "checkpoints", "weights", "claims", "latency")
"""What the harness writes into; others' files in a run store are not looked at."""

SETTLED = claim.EXPIRY
"""Seconds after which a file that is still unfinished has no writer any more."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file that can go, its bytes and why."""

    path: Path
    size: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Keys of known stages, of pending ones, and of those whose weights pending ones start from."""

    known: set[str] = field(default_factory=set)
    pending: set[str] = field(default_factory=set)
    weights: set[str] = field(default_factory=set)


def leftovers(records: Records, needs: Needs | None, *, keep_last: bool) -> list[Leftover]:
    """Return what can be removed from a run store.

    Args:
        records: of the store.
        needs: what pending stages need; None keeps all checkpoints and weights.
        keep_last: the weights of finished chains (all but pre-trainings) are kept, too.
    """
    folder = records.folder
    owned = claim.living(folder)
    found = [*_halves(folder), *_claims(folder, owned)]
    if needs is not None:
        found += _states(records, needs, owned)
        found += _weights(records, needs, owned, keep_last=keep_last)
    return found


def _halves(folder: Path) -> Iterator[Leftover]:
    now = time.time()
    for name in FOLDERS:
        for path in _sorted(folder / name, ".*"):
            if now - path.stat().st_mtime > SETTLED:
                yield _leftover(path, "interrupted write")


def _claims(folder: Path, owned: set[str]) -> Iterator[Leftover]:
    for path in _sorted(folder / "claims", "[!.]*"):
        if path.stem not in owned:
            yield _leftover(path, "its owner is gone")


def _states(records: Records, needs: Needs, owned: set[str]) -> Iterator[Leftover]:
    for path in _sorted(records.folder / "checkpoints", "[!.]*.pt"):
        if path.stem in needs.pending or _busy(path.stem, needs, owned):
            continue
        done = _done(records, path.stem)
        yield _leftover(path, "its stage is done" if done else "no known experiment needs it")


def _weights(
    records: Records, needs: Needs, owned: set[str], *, keep_last: bool
) -> Iterator[Leftover]:
    for path in _sorted(records.folder / "weights", "[!.]*.pt"):
        key = path.stem
        if key in needs.weights or _busy(key, needs, owned):
            continue
        if not _done(records, key):
            yield _leftover(path, "its stage is not done")
        elif not keep_last or _pretrains(records, key):
            yield _leftover(path, "no pending stage starts from it")


def _busy(key: str, needs: Needs, owned: set[str]) -> bool:
    return key in owned or (bool(owned) and key not in needs.known)


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

"""Find removable files of a run store: unneeded checkpoints, expired claims, partial files.

Only files with names that the harness gives are listed, in its own folders of a marked store, and
never through a link. Records and predictions are never listed, nor any file of a stage that is
being trained. While one is, files of stages that no known experiment contains are kept as well: the
running command may use them next.
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import UserError
from harness.store import claim, form
from harness.store.record import Records

SETTLED = claim.EXPIRY
"""Age in seconds from which a temporary file is taken to be left by an interrupted write."""

KEY = r"[0-9a-f]{64}"
"""Pattern of a stage's key."""

CLAIMED = rf"(?:{KEY}|trial-[0-9a-f]{{16}}-[0-9]+|mlflow|mlflow-live-[0-9a-f]{{16}}|optuna|migrate)"
"""Pattern of what is claimed: stages, trials, databases, migrations."""

KEYED = re.compile(rf"({KEY})\.(?:json|pt|npz|safetensors|txt)")
"""Names of the files of a stage."""

FORMER = re.compile(rf"({KEY})\.pt\.former")
"""Names of states that other sources have put away."""

CLAIMS = re.compile(rf"({CLAIMED})\.(?:json|lock|progress)")
"""Names of the files of a claim."""

PARTIAL = {
    "": re.compile(
        r"\.(?:\.harness-store|former-keys\.json|mlflow-mirrored\.json)\.[a-z0-9_]{8}(?:\.partial)?"
    ),
    "margins": re.compile(r"\.[^/]+\.json\.[a-z0-9_]{8}\.partial"),
    "claims": re.compile(
        rf"\.{CLAIMED}\.(?:[0-9a-f]{{32}}\.(?:partial|taken)|none\.taken|progress\.[0-9]+(?:\.partial)?)"
        r"|\.[0-9a-f]{32}(?:\.partial)?"
    ),
} | dict.fromkeys(
    (
        "records",
        "predictions",
        "checkpoints",
        "previous",
        "weights",
        "latency",
        "failures",
        "maps",
        "costs",
    ),
    re.compile(rf"\.{KEY}\.(?:json|pt|npz|safetensors|txt)\.[a-z0-9_]{{8}}(?:\.partial)?"),
)
"""Names of temporary files by folder of the store; "" is the store itself."""

Keep = Literal["wanted", "all", "needed", "last"]
"""Which checkpoints are kept: those that somebody can still want (states of unfinished stages, all
final weights), all, those that pending stages of known experiments need, or these and the models of
finished chains."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A removable file, its size in bytes, the reason and its kind (``harness.store.kinds``)."""

    path: Path
    size: int
    why: str
    kind: str


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


def check(folder: Path) -> None:
    """Refuse a folder that is no run store, before anything in it is looked at.

    Raises:
        UserError: the folder has no marker, or one of another form.
    """
    marker = folder / form.MARKER
    # A link may be to the marker of another store, and makes nothing of this folder ours.
    if marker.is_symlink() or not marker.is_file() or form.check(folder) is None:
        raise UserError(
            f"{folder} is no run store (it has no {form.MARKER}): nothing was removed. Give the"
            " folder of your runs with --runs."
        )


def leftovers(records: Records, needs: Needs | None, *, keep: Keep) -> list[Leftover]:
    """Return the files that can be removed from a run store.

    Args:
        records: of the store.
        needs: keys of needed stages; read for "needed" and "last" only.
        keep: which checkpoints are kept.

    Raises:
        UserError: the folder is no run store.
    """
    folder = records.folder
    check(folder)
    claimed = claim.living(folder)
    removable = [*_partial_files(folder, claimed), *_claims(folder, claimed)]
    if keep == "wanted":
        removable += _finished_states(records, claimed)
    elif keep != "all" and needs is not None:
        removable += _finished_states(records, claimed)
        removable += _states(records, needs, claimed)
        removable += _weights(records, needs, claimed, keep_last=keep == "last")
    return removable


def _partial_files(folder: Path, claimed: set[str]) -> Iterator[Leftover]:
    now = time.time()
    for name, pattern in PARTIAL.items():
        for path, _ in own(folder, name, pattern):
            busy = any(key in path.name for key in claimed)
            if not busy and now - path.lstat().st_mtime > SETTLED:
                yield _leftover(path, "interrupted write", "partial-files")


def _claims(folder: Path, claimed: set[str]) -> Iterator[Leftover]:
    for path, key in own(folder, "claims", CLAIMS):
        if key not in claimed and not (path.suffix == ".lock" and claim.is_locked(path)):
            yield _leftover(path, "its process has ended", "ended-claims")


def _finished_states(records: Records, claimed: set[str]) -> Iterator[Leftover]:
    for name in ("checkpoints", "previous"):
        for pattern in (KEYED, FORMER):
            for path, key in own(records.folder, name, pattern):
                if key not in claimed and records.finished(key) is not None:
                    yield _leftover(path, "its stage is done", "finished-states")


def _states(records: Records, needs: Needs, claimed: set[str]) -> Iterator[Leftover]:
    for name in ("checkpoints", "previous"):
        for path, key in own(records.folder, name, KEYED):
            if key in needs.pending or _in_use(key, needs, claimed):
                continue
            if records.finished(key) is None:
                yield _leftover(path, "no known experiment needs it", "interrupted-states")


def _weights(
    records: Records, needs: Needs, claimed: set[str], *, keep_last: bool
) -> Iterator[Leftover]:
    for path, key in own(records.folder, "weights", KEYED):
        if key in needs.weights or _in_use(key, needs, claimed):
            continue
        if records.finished(key) is None:
            yield _leftover(path, "its stage is not done", "unfinished-weights")
        elif not keep_last or _pretrains(records, key):
            kind = kind_of_weights(records, key)
            yield _leftover(path, "no pending stage starts from it", kind)


def _in_use(key: str, needs: Needs, claimed: set[str]) -> bool:
    return key in claimed or (bool(claimed) and key not in needs.known)


def _pretrains(records: Records, key: str) -> bool:
    record = records.read(key)
    stages = record.definition.get("stages", []) if record is not None else []
    return bool(stages) and stages[-1]["phase"] == "pretrain"


def own(
    folder: Path, name: str, pattern: re.Pattern[str], *, regular: bool = True
) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder of the store whose whole name fits, with their key.

    Args:
        folder: the store.
        name: of its folder; "" for the store itself.
        pattern: of names; its first group is the key.
        regular: leave out folders, links and whatever else is no regular file.
    """
    place = folder / name
    if not place.is_dir() or (name and place.is_symlink()):
        return
    for path in sorted(place.iterdir()):
        found = pattern.fullmatch(path.name)
        if found and (not regular or stat.S_ISREG(path.lstat().st_mode)):
            yield path, found.group(1) if found.groups() else ""


def _leftover(path: Path, why: str, kind: str) -> Leftover:
    return Leftover(path=path, size=path.lstat().st_size, why=why, kind=kind)


def kind_of_weights(records: Records, key: str) -> str:
    """Return the kind of a stage's final weights."""
    if records.finished(key) is None:
        return "unfinished-weights"
    return "encoders" if _pretrains(records, key) else "models"


def kept(records: Records, removable: Collection[Leftover]) -> Iterator[tuple[str, int]]:
    """Yield kind and bytes of every state and all final weights that are not removable."""
    gone = {leftover.path for leftover in removable}
    for name in ("checkpoints", "previous", "weights"):
        for pattern in (KEYED, FORMER):
            for path, key in own(records.folder, name, pattern):
                if path in gone:
                    continue
                if name == "weights":
                    kind = kind_of_weights(records, key)
                elif records.finished(key) is not None:
                    kind = "finished-states"  # of a stage that is being trained again
                else:
                    kind = "interrupted-states"
                yield kind, path.lstat().st_size

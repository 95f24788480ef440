"""Claims that other processes have left, or hold on other machines."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from harness.store import claim as claims
from harness.store.claim import Owner


def dead(folder: Path, key: str) -> Path:
    """Write the claim of a process of this machine that has ended: nobody holds its lock."""
    return _write(folder, key, dataclasses.replace(_here(), pid=2**22 + 1))


def elsewhere(folder: Path, key: str, *, age: float = 0.0, **changes: Any) -> Path:
    """Write the claim of a process of another machine, renewed ``age`` seconds ago."""
    owner = dataclasses.replace(_here(), boot="another", **changes)
    path = _write(folder, key, owner)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def _here() -> Owner:
    return claims.this_process()


def _write(folder: Path, key: str, owner: Owner) -> Path:
    path = folder / "claims" / f"{key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(dataclasses.asdict(owner)))
    return path

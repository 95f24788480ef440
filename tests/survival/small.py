"""Trainings with faults: processes under a library that kills them or lets their calls fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import prepared

SURVIVE = os.environ.get("HARNESS_SURVIVE", "1")
"""How many times as many faults as in ``make test`` are tried; "whole" for all of them."""

WHOLE = SURVIVE == "whole"
"""Whether every fault is tried (``make survive``)."""


def times(short: int, whole: int) -> int:
    """Return how many inputs to try: ``short`` in ``make test``, ``whole`` of ``make survive``."""
    return whole if WHOLE else min(whole, short * int(SURVIVE))


@dataclass(frozen=True, kw_only=True)
class End:
    """How a training ended: exit code (minus the signal's number), errors, trained epochs."""

    code: int
    errors: str
    epochs: int


class Forks:
    """A warm process that forks one child per training."""

    def __init__(self, folder: Path) -> None:
        """Compile the library and start the process."""
        self.folder = folder
        prepared.ensure(folder / "data")
        library = folder / "faults.so"
        source = Path(__file__).with_name("faults.c")
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.survival.run_small", str(folder / "data")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
        )
        self._number = 0

    def train(self, runs: Path, **environment: str) -> End:
        """Train in a store under faults; see ``faults.c`` for the environment."""
        self._number += 1
        log, errors = (self.folder / f"{name}-{self._number}" for name in ("epochs", "errors"))
        request = {
            "runs": str(runs),
            "log": str(log),
            "errors": str(errors),
            "environment": {"FAULT_FOLDER": str(runs), "FAULT_AT": "-1", **environment},
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())
        epochs = len(log.read_text().split()) if log.exists() else 0
        return End(code=code, errors=errors.read_text(errors="replace"), epochs=epochs)

    def calls(self, runs: Path) -> int:
        """Return how many calls an undisturbed training makes; it is done afterwards."""
        log = self.folder / "calls"
        end = self.train(runs, FAULT_AT="0", FAULT_LOG=str(log))
        assert end.code == 0, end.errors
        return int(log.read_text())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def results(runs: Path) -> dict[str, Any]:
    """Return what the records of a store say, and the bytes of their weights and predictions."""
    found: dict[str, Any] = {}
    for path in sorted((runs / "records").glob("[!.]*.json")):
        if path.suffix == ".json":
            content = json.loads(path.read_bytes())
            found[path.stem] = (content["status"], content["error"], content["result"])
    for kind in ("weights", "predictions"):
        for path in sorted((runs / kind).glob("[!.]*")):
            if path.suffix in (".safetensors", ".npz"):
                found[path.name] = path.read_bytes() if kind == "weights" else path.stat().st_size
    return found


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def copy(store: Path, target: Path) -> Path:
    """Copy a store."""
    shutil.copytree(store, target)
    return target

"""Commands that a test of a cluster runs in folders of their own, and what they leave there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests import prepared

STARTED: list[subprocess.Popen[str]] = []
"""Processes of the test that runs."""


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command with one thread in a folder with prepared data."""
    if not (folder / "data").exists():
        prepared.ensure(folder / "data")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def end_all() -> None:
    """Kill the processes that a failed test has left."""
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate()
    STARTED.clear()


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the records of a folder's store by key."""
    return {p.stem: json.loads(p.read_text()) for p in (folder / "runs/records").iterdir()}


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of stages that are being trained."""
    return list(folder.glob("runs/checkpoints/*.pt"))


def owner(folder: Path, checkpoint: Path) -> int:
    """Return the process that trains the stage of a checkpoint."""
    claim = folder / f"runs/claims/{checkpoint.stem}.json"
    return int(json.loads(claim.read_text())["pid"])


def claims(folder: Path) -> list[Path]:
    """Return the stages that are said to be trained."""
    return [p for p in (folder / "runs/claims").glob("*.progress") if not p.name.startswith(".")]


def epochs(folder: Path) -> Counter[tuple[str, int]]:
    """Count, in the logs of all workers, how often each stage says that it has ended an epoch."""
    said: Counter[tuple[str, int]] = Counter()
    for log in (folder / "runs/jobs").glob("*_log.out"):
        for line in log.read_text().splitlines():
            if found := re.fullmatch(r"\[\d+/\d+\] (.+): epoch (\d+)/\d+, .*", line):
                said[found[1], int(found[2])] += 1
    return said

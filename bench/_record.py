"""Records of benchmarks: on what machine, with what versions and sources, and what was measured."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import harness
from harness import files, provenance

ROOT = Path(harness.__file__).resolve().parent.parent
REPORTS = ROOT / "reports" / "bench"
"""Where the records of benchmarks lie, one file per benchmark."""

SOURCES = ("harness", "msmae", "baselines", "experiments", "bench")
"""Folders whose Python files a measurement depends on."""


def facts(device: torch.device | None = None) -> dict[str, Any]:
    """Return machine, versions, commit and date as plain JSON values.

    ``load`` is the number of processes that wanted a processor in the last minute, this one
    included: a time is worth little where it is larger than the benchmark's own threads.
    """
    commit, dirty = provenance.commit()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": commit,
        "dirty": dirty,
        "sources": sources(),
        "versions": provenance.versions(),
        "machine": platform.machine(),
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "device": provenance.device_facts(device or torch.device("cpu")),
    }


def cpu() -> str:
    """Return the processor's model as Linux names it; elsewhere what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sources() -> str:
    """Return the SHA-256 of all Python files that a measurement depends on, by path and content.

    Unlike the commit it is known where there is no repository, and stays when records are added.
    """
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def write(
    name: str,
    results: Sequence[Mapping[str, Any]],
    *,
    made: Mapping[str, Any],
    arguments: Sequence[str] = (),
    folder: Path = REPORTS,
) -> Path:
    """Write the record of a benchmark and return its path.

    Args:
        name: of the benchmark.
        results: what it yielded.
        made: ``facts`` from before the first measurement.
        arguments: its options on the command line.
        folder: where the file is written.
    """
    path = folder / f"{name}.json"
    content = {
        "benchmark": name,
        "arguments": list(arguments),
        "made": {**made, "load_at_end": round(os.getloadavg()[0], 2)},
        "results": list(results),
    }
    files.write_json(path, content)
    return path

"""Commit, package versions and device with which a result was produced."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness

if TYPE_CHECKING:
    import torch

SOURCES = ("*.py", "pyproject.toml", "requirements.lock")
"""File patterns that count as changes against a commit; logs and reports do not."""

PACKAGES = ("torch", "timm", "numpy", "msmae-harness")
"""Packages whose versions are recorded."""


@functools.cache
def commit() -> tuple[str, bool]:
    """Return the commit of the sources and whether they differ from it.

    Outside a checkout of this project (an installed wheel) the commit is "version X" and counts
    as unchanged.
    """
    root = Path(harness.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return f"version {harness.__version__}", False
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
    except (OSError, subprocess.CalledProcessError):
        return f"version {harness.__version__}", True
    return head, bool(changed)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def tracked(folder: Path) -> frozenset[str]:
    """Return the names of the files of a folder that git tracks; none outside of a repository."""
    try:
        found = _git(folder, "ls-files", "-z")
    except (OSError, subprocess.CalledProcessError):
        return frozenset()
    return frozenset(name for name in found.split("\0") if name and "/" not in name)


def versions() -> dict[str, str]:
    """Return the versions of Python and of ``PACKAGES`` by name."""
    versions_by_name = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions_by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions_by_name[name] = "absent"
    # An editable installation keeps the metadata of the version that was installed.
    versions_by_name["msmae-harness"] = harness.__version__
    return versions_by_name


def device_facts(device: Any) -> dict[str, Any]:
    """Return a torch device's kind and model and the number of CPU threads in use."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "kind": device.type,
        "name": name or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def which_device(device: Any) -> dict[str, str]:
    """Return what tells a CUDA device from others of its model; nothing of a CPU."""
    if device.type != "cuda":
        return {}
    import torch

    facts = {"uuid": f"GPU-{torch.cuda.get_device_properties(device).uuid}"}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return facts if visible is None else {**facts, "visible": visible}


def choose_device() -> torch.device:
    """Return the CUDA device if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

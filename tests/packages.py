"""Packages that offer plug-ins, as if they were installed."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.sources import offers


def install(
    folder: Path, patch: pytest.MonkeyPatch, entries: Mapping[str, str], text: str, name: str
) -> Path:
    """Install a package with one module, ``things``; return the module's file.

    Args:
        folder: where ``site-packages`` is made.
        patch: undoes the change of the path.
        entries: what entry points name, by their names.
        text: of the module.
        name: of the package.
    """
    site = folder / "site-packages"
    file = site / f"{name}/things.py"
    file.parent.mkdir(parents=True)
    (site / f"{name}/__init__.py").write_text("")
    file.write_text(text)
    facts = site / f"{name}-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = "\n".join(f"{entry} = {thing}" for entry, thing in entries.items())
    (facts / "entry_points.txt").write_text(f"[msmae_harness]\n{lines}\n")
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)  # of processes that are started
    offers.forget()
    importlib.invalidate_caches()
    return file


def forget(*names: str) -> None:
    """Forget packages that were installed for a test."""
    offers.forget()
    for module in [m for m in sys.modules if m.partition(".")[0] in names]:
        del sys.modules[module]

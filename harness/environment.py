"""Where a number was made: commit, sources, versions, device."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import harness

HOUSE = ("harness", "msmae", "baselines")
ROOTS = ("harness.loop", "harness.evaluate", "harness.segmentation")
"""What acts on every trained number, besides the method's own module."""

SOURCES = ("*.py", "pyproject.toml", "requirements.lock")
"""What is asked for changes against a commit: a log or a report beside them is none."""

PACKAGES = ("torch", "timm", "numpy", "msmae-harness")


@functools.cache
def commit() -> tuple[str, bool]:
    """Return the commit of the sources and whether they differ from it.

    Sources that are not in a checkout of this project (an installed wheel) give
    "version X", unchanged.
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


def versions() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def device_facts(device: Any) -> dict[str, Any]:
    """Describe a torch device: its kind, model and the threads in use."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "kind": device.type,
        "name": name or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def source_digest(modules: Iterable[str]) -> str:
    """Return the SHA-256 over the sources that act on a stage.

    Covers the given modules, ``ROOTS`` and all they import from the house, without comments and
    docstrings: an edit elsewhere does not make a record stale.
    """
    seen: dict[str, Path] = {}
    waiting = [*ROOTS, *modules]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in seen or path is None:
            continue
        seen[name] = path
        waiting.extend(_imports(path))
    total = hashlib.sha256()
    for name in sorted(seen):
        total.update(f"{name}\0{_bare(seen[name])}\0".encode())
    return total.hexdigest()


@functools.cache
def _source(name: str) -> Path | None:
    """Find a module's file without importing it (timm alone takes seconds)."""
    if name.split(".")[0] in HOUSE:
        base = Path(harness.__file__).resolve().parent.parent.joinpath(*name.split("."))
        files = (base.with_suffix(".py"), base / "__init__.py")
        return next((path for path in files if path.is_file()), None)
    # A user's own module: its method was built, so it is loaded.
    origin = getattr(sys.modules.get(name), "__file__", None)
    return Path(origin) if origin else None


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(n for n in names if n.split(".")[0] in HOUSE)


@functools.cache
def _bare(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [n for n in body if not _is_text(n)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )

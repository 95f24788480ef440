"""Compile and load ``guard.cpp``, which makes a CPU-only torch see one CUDA device."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")


def obstacle() -> str | None:
    """Return why the library cannot be built here, None where it can."""
    if shutil.which("g++") is None:
        return "there is no C++ compiler (g++)"
    if "+cpu" not in importlib.metadata.version("torch"):
        return "torch is built for real devices"
    return None


def build() -> Path:
    """Return the compiled library; it is compiled once per version of torch, in seconds."""
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.origin is not None
    torch = Path(found.origin).parent
    built = max(SOURCE.stat().st_mtime_ns, (torch / "version.py").stat().st_mtime_ns)
    folder = Path(tempfile.gettempdir()) / f"harness-fake-cuda-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{importlib.metadata.version('torch')}-{built}.so"
    if not target.exists():
        part = target.with_suffix(f".{os.getpid()}")
        options = ["-shared", "-fPIC", "-O1", "-std=c++20", f"-I{torch}/include", "-o", str(part)]
        linked = [f"-L{torch}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch}/lib"]
        subprocess.run(["g++", *options, str(SOURCE), *linked], check=True)
        part.replace(target)
    return target


def load() -> None:
    """Load the library; it has to come before torch, which asks for its hooks once."""
    library = build()
    found = importlib.util.find_spec("torch")
    assert found is not None
    assert found.origin is not None
    dependencies = Path(found.origin).parent / "lib" / "libtorch_global_deps.so"
    ctypes.CDLL(str(dependencies), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)

"""A real Slurm on this machine for tests: one node with two slots, see ``slurm.sh``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).with_name("slurm.sh")

DAEMONS = ("munged", "slurmctld", "slurmd")

PATIENCE = 120.0
"""Seconds within which something that is waited for happens."""


def missing() -> str | None:
    """Return why no Slurm can be started here; None if one can."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    lacking = [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=path) is None]
    if lacking:
        return (
            f"{', '.join(lacking)} not installed: apt-get install -y --no-install-recommends"
            " slurm-wlm munge"
        )
    if os.getuid() != 0:
        return "slurmctld and slurmd are started by root only"
    return None


@contextmanager
def started(folder: Path, *, share: str = "NO") -> Iterator[dict[str, str]]:
    """Run a Slurm within the block, and yield the environment by which its commands find it.

    With ``share="FORCE:2"`` two jobs share each slot.
    """
    own = {"SLURM_TEST_PORT": str(_free_port()), "SLURM_TEST_SHARE": share}
    environment = {**os.environ, **own}
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, env=environment, timeout=PATIENCE)
        yield {"SLURM_CONF": str(folder / "slurm.conf")}
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, env=environment, timeout=PATIENCE)


def _free_port() -> int:
    """Return a port that is free, and so is the one behind it."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("", 0))
            port: int = one.getsockname()[1]
            try:
                other.bind(("", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def ask(*command: str) -> str:
    """Run a command of Slurm and return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.2)

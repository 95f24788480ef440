"""Time of preparing data sets relative to reading their archives, and its peak memory.

HARNESS_ARCHIVES must name the folder of official archives.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench._paired import ratio

PEAK = """
import resource, sys
from harness.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(code)
"""


def measure() -> Iterator[dict]:
    """Yield the ratio and the peak memory for every archive in the folder."""
    folder = os.environ.get("HARNESS_ARCHIVES")
    if folder is None:
        yield {"what": "skipped: HARNESS_ARCHIVES does not name a folder of archives"}
        return
    for name in ("btmd", "ham10000", "busi"):
        archive = Path(folder) / f"{name}.zip"
        if archive.exists():
            yield _archive(name, archive)


def _archive(name: str, archive: Path) -> dict:
    """Measure one archive."""
    peak = 0

    def prepare() -> None:
        nonlocal peak
        with tempfile.TemporaryDirectory() as root:
            command = ["data", "prepare", name, "--from", str(archive), "--root", root]
            process = subprocess.run(
                [sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True
            )
        peak = max(peak, int(process.stdout.split()[-1]))

    result = ratio(prepare, lambda: archive.read_bytes(), rounds=3)
    return {"what": f"prepare {name} / read its archive", "peak_mib": peak, **result}

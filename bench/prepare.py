"""Seconds and peak memory of preparing data sets, at two sizes, relative to reading the archives.

HARNESS_ARCHIVES must name the folder of official archives. ``large`` is BTMD ten times: 70 230
images under their own names, at 256 px.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bench._paired import ratio
from harness.data import registry
from harness.spec.dataset import Dataset, Item, Listing, PartName, Source

SIZES = (256, 448)
TIMES = 10
"""How many times the large data set holds BTMD."""

PEAK = """
import resource, sys
from pathlib import Path
from bench.prepare import large
from harness.data import registry
from harness.data.prepare import prepare
name, archive, root, size = sys.argv[1:]
dataset = large() if name == "large" else registry.find(name)
prepare(dataset, Path(archive), root=Path(root), size=int(size))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def measure() -> Iterator[dict]:
    """Yield seconds and peak memory for every archive in the folder."""
    folder = os.environ.get("HARNESS_ARCHIVES")
    if folder is None:
        yield {"what": "skipped: HARNESS_ARCHIVES does not name a folder of archives"}
        return
    for name in ("btmd", "ham10000", "busi"):
        archive = Path(folder) / f"{name}.zip"
        if archive.exists():
            for size in SIZES:
                yield _archive(name, archive, size)
    if (Path(folder) / "btmd.zip").exists():
        with tempfile.TemporaryDirectory() as scratch:
            seconds, peak = _prepared("large", _repeated(Path(folder) / "btmd.zip", scratch), 256)
            yield {
                "what": "prepare BTMD ten times",
                "size": 256,
                "peak_mib": peak,
                "seconds": seconds,
            }


def large() -> Dataset:
    """Return the data set of ten times BTMD."""
    btmd = registry.find("btmd")

    def listing(source: Source) -> Listing:
        items = []
        for name in source.images():
            part, label, _ = name.split("/")
            used: PartName = "train" if part == "Training" else "eval"
            stem = PurePosixPath(name).stem
            items.append(Item(name=stem, label=btmd.classes.index(label), image=name, part=used))
        return tuple(items)

    return dataclasses.replace(
        btmd,
        counts=tuple(TIMES * count for count in btmd.counts),
        sizes={part: TIMES * count for part, count in btmd.sizes.items()},
        listing=listing,
    )


def _repeated(archive: Path, folder: str) -> Path:
    """Write an archive with every file of another ten times, under different names."""
    target = Path(folder) / "large.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            path = PurePosixPath(name)
            for number in range(TIMES):
                copy.writestr(f"{path.parent}/{path.stem}-{number}{path.suffix}", content)
    return target


def _prepared(name: str, archive: Path, size: int) -> tuple[float, int]:
    """Prepare an archive in a process of its own; return seconds and its peak memory in MiB."""
    with tempfile.TemporaryDirectory() as root:
        began = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-c", PEAK, name, str(archive), root, str(size)],
            check=True,
            capture_output=True,
            text=True,
        )
        return round(time.perf_counter() - began, 1), int(process.stdout.split()[-1])


def _archive(name: str, archive: Path, size: int) -> dict:
    """Measure one archive at one size."""
    made: list[tuple[float, int]] = []
    result = ratio(
        lambda: made.append(_prepared(name, archive, size)), lambda: archive.read_bytes(), rounds=3
    )
    seconds = sorted(took for took, _ in made)[len(made) // 2]
    peak = max(peak for _, peak in made)
    return {
        "what": f"prepare {name} / read its archive",
        "size": size,
        "peak_mib": peak,
        "seconds": seconds,
        **result,
    }

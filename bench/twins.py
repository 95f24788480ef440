"""What rules of near-twins join in the real archives, and how long the search takes.

HARNESS_ARCHIVES must name the folder of official archives.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.data import registry, twins
from harness.data.prepare import prepare
from harness.data.prepared import Store, open_store
from harness.data.split import joined
from harness.data.twins import RULES, TwinRule

RULES_TRIED = (
    TwinRule(distance=0, correlation=0.9999),
    RULES.check,
    TwinRule(distance=12, correlation=0.99),
    RULES.join,
    TwinRule(distance=20, correlation=0.98),
    TwinRule(distance=24, correlation=0.97),
)

MANY = 70_000
"""Sketches of random bits among which twins are searched for."""


def measure() -> Iterator[dict]:
    """Yield what each rule joins in every archive in the folder, and the seconds of a search."""
    folder = os.environ.get("HARNESS_ARCHIVES")
    if folder is None:
        yield {"what": "skipped: HARNESS_ARCHIVES does not name a folder of archives"}
    else:
        for name in ("btmd", "ham10000", "busi"):
            archive = Path(folder) / f"{name}.zip"
            if archive.exists():
                yield from _archive(name, archive)
    sketches = np.random.default_rng(0).integers(0, 256, (MANY, twins.SKETCH), np.uint8)
    began = time.perf_counter()
    found = sum(len(pairs.first) for pairs in twins.search(sketches, RULES.join))
    seconds = round(time.perf_counter() - began, 1)
    yield {"what": "search", "images": MANY, "pairs": found, "seconds": seconds}


def _archive(name: str, archive: Path) -> Iterator[dict]:
    with tempfile.TemporaryDirectory() as scratch:
        prepare(registry.find(name), archive, root=Path(scratch), size=32)
        store = open_store(Path(scratch), name)
        for rule in RULES_TRIED:
            yield {"what": name, "distance": rule.distance, "correlation": rule.correlation} | (
                _joined(store, rule)
            )


def _joined(store: Store, rule: TwinRule) -> dict:
    began = time.perf_counter()
    pairs = [(pairs.first, pairs.second) for pairs in twins.search(store.sketches(), rule)]
    seconds = round(time.perf_counter() - began, 2)
    links = [
        twins.chain(np.array(keys)) for keys in (store.pixels, store.everything().groups or ())
    ]
    found = joined(twins.components(len(store.pixels), [*links, *pairs]))
    return {
        "pairs": sum(len(first) for first, _ in pairs),
        "sets": found.components,
        "images": found.images,
        "largest": found.largest,
        "seconds": seconds,
    }

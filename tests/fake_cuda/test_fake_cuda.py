"""A step of every kind of stage, on a CUDA device that does not exist: nothing waits for it.

``launches.json`` holds the most kernels that a step of every kind may launch. Where a change
lowers them, ``HARNESS_WRITE_GOLDEN=1 pytest tests/fake_cuda`` writes it anew.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import _stages
from tests.conftest import ROOT
from tests.fake_cuda import guard

CEILINGS = Path(__file__).with_name("launches.json")
ROOM = 1.02
"""Draws decide a few kernels: an operation that no image of the batch takes is left out."""

STEP = ("data", "forward", "backward", "optimizer")
EVERYWHERE = ("mixed", "left")
"""What must not happen in any phase; the rest may happen between steps."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(guard.obstacle() is not None, reason=str(guard.obstacle())),
]


def _measured(target: Path, *names: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.fake_cuda.steps", str(target), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured: dict[str, Any] = json.loads(target.read_text())
    return measured


def _wrong(measured: dict[str, Any]) -> list[str]:
    """Return what a kind of stage must not do, in lines."""
    if "error" in measured:
        return [measured["error"]]
    lines = [f"{name} is left on the CPU" for name in measured["left"]]
    for phase, kind, place, what, times in measured["found"]:
        if phase in STEP or kind in EVERYWHERE:
            lines.append(f"{phase}: {kind} at {place}: {what}, {times} times")
    return lines


def test_no_step_waits_for_the_device_or_launches_more_than_it_did(tmp_path: Path) -> None:
    measured = _measured(tmp_path / "steps.json")
    planted = {kind for phase, kind, *_ in measured.pop("planted")["found"] if phase in STEP}
    assert planted == {"read", "upload", "pageable", "dynamic", "mixed"}
    assert list(measured) == [kind.name for kind in _stages.kinds()]
    wrong = {name: _wrong(kind) for name, kind in measured.items()}
    assert "\n".join(f"{name}: {line}" for name, lines in wrong.items() for line in lines) == ""
    counted = {name: sum(kind["launches"].values()) for name, kind in measured.items()}
    if os.environ.get("HARNESS_WRITE_GOLDEN"):
        ceilings = {name: math.ceil(count * ROOM) for name, count in counted.items()}
        CEILINGS.write_text(json.dumps(ceilings, indent=1) + "\n")
    ceilings = json.loads(CEILINGS.read_text())
    assert ceilings.keys() == counted.keys()
    over = {name: count for name, count in counted.items() if count > ceilings[name]}
    assert over == {}, "more launches than the ceiling; lower them, or write the ceilings anew"

"""Launches of a step on the CUDA device that does not exist, of ``tests.fake_cuda``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench import _whole
from bench._record import ROOT
from harness.errors import UserError

MODULE = "tests.fake_cuda.steps"
STEP = ("data", "forward", "backward", "optimizer")
"""Phases of a step in what the module writes."""


def counted(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return launches and waits of the last of a few steps, by kind of stage, at paper size.

    Raises:
        UserError: the module is not there, or this machine lacks what it needs, such as a compiler.
    """
    if not ROOT.joinpath(*MODULE.split(".")).with_suffix(".py").is_file():
        raise UserError(f"--fake needs {MODULE}, which is in a checkout; leave --fake out.")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "steps.json"
        words = ["-m", MODULE, str(target), *names]
        _whole.timed(words, Path(folder), threads=torch.get_num_threads())
        measured = json.loads(target.read_text(encoding="utf-8"))
    return {name: _of(name, kind) for name, kind in measured.items()}


def _of(name: str, kind: dict[str, Any]) -> dict[str, Any]:
    if "error" in kind:
        raise UserError(f"{name}: {kind['error'].strip().splitlines()[-1]}")
    found = [(what, times) for phase, what, _, _, times in kind["found"] if phase in STEP]
    waits = [times for what, times in found if what != "mixed"]
    return {"fake_launches": sum(kind["launches"].values()), "fake_waits": sum(waits)}

"""Run the harness in a subprocess in which some packages look as if they were not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FINDER = Path(__file__).parent / "hidden.py"
"""Hides packages where Python imports it at its start as ``sitecustomize``."""

MODULES = {
    "torch": "torch",
    "timm": "timm",
    "mmsegmentation": "mmseg",
    "mmengine": "mmengine",
    "pandas": "pandas",
    "optuna": "optuna",
    "mlflow": "mlflow",
    "lightly": "lightly",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
    "fvcore": "fvcore",
    "msgspec": "msgspec",
    "sqlalchemy": "sqlalchemy",
}
"""Import names by distribution."""


def harness(folder: Path, *words: str, without: tuple[str, ...]) -> tuple[int, str]:
    """Run a command in a folder without some distributions; return its exit code and output."""
    start = folder / "start"
    start.mkdir(exist_ok=True)
    shutil.copy(FINDER, start / "sitecustomize.py")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(start), str(ROOT))),
        "HARNESS_TEST_BLOCKED": ",".join(MODULES[name] for name in without),
        "HARNESS_TEST_HIDDEN": ",".join(without),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr

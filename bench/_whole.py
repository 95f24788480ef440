"""Whole processes: Python's, and the harness's commands on a folder of images."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench._record import ROOT
from harness.errors import UserError
from harness.spec.profile import Profile

TABLE = '''"""Stages on a folder of images.

    harness run table.py
"""

from harness.api import Column, Row, Table, mae, paper

EXPERIMENT = Table(
    title="Stages",
    source="",
    columns=(Column(dataset="btmd", metric={metric!r}),),
    rows=(Row(name="row", label="Row", stages={stages}),),
)
'''
"""A file with one row."""


def timed(
    words: Sequence[str], place: Path, *, threads: int, environment: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Run Python with some arguments in a folder; return the seconds and what it printed.

    Raises:
        UserError: it failed; the message has its last line.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), **(environment or {})}
    begin = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{' '.join(words[:3])} ended with {ended.returncode}: {last}")
    return seconds, ended.stdout


@dataclass(frozen=True, kw_only=True)
class Training:
    """What ``harness run`` trains.

    Attributes:
        stages: an expression of Python for the row's stages.
        metric: of the column; a cost evaluates nothing.
        profile: that the stages are scaled to.
        changes: arguments of ``--set``.
    """

    stages: str
    metric: str
    profile: Profile
    changes: tuple[str, ...]


def harness(
    place: Path,
    pictures: Path,
    training: Training,
    *,
    threads: int,
    environment: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Prepare a folder of images and train stages on it with the harness's commands.

    Args:
        place: an empty folder, which gets data/, runs/ and reports/.
        pictures: ``{train,test}/CLASS/NAME``.
        training: the stages and their sizes.
        threads: of both commands.
        environment: variables that are set for both.

    Returns:
        the seconds of both commands and their sum.
    """
    text = TABLE.format(stages=training.stages, metric=training.metric)
    (place / "table.py").write_text(text)
    profile = training.profile
    add = ["data", "add", "pictures", "--from", str(pictures), "--yes"]
    add += ["--size", str(profile.stored_size)]
    run = ["run", "table.py", "--profile", profile.name, "--datasets", "pictures"]
    run += ["--track", "off", *(word for c in training.changes for word in ("--set", c))]
    prepare, train = (
        timed(["-m", "harness", *words], place, threads=threads, environment=environment)[0]
        for words in (add, run)
    )
    return {"harness_s": prepare + train, "prepare_s": prepare, "train_s": train}

"""Training of stale stages again, beside their former records, which stay until that is finished.

The stages are trained in a run store of their own within the run store. What is finished there
takes the place of the former files, the record last; what fails or is interrupted stays there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.plan.plan import CellRun, Plan, StageRun
from harness.plan.stale import stale_keys
from harness.spec.run import sources
from harness.store import form, maps, weights
from harness.store.checkpoint import Checkpoints
from harness.store.claim import claim
from harness.store.record import Records

FOLDER = "renewal"
"""Folder of a run store, itself one, in which stale stages are trained again."""


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What is trained again.

    Attributes:
        plan: of the runs up to their last stale stage; its run store is the one within.
        runs: the run store with the former records.
        stale: the stale stages, each after the stages that it starts from.
        left: titles of stale stages that cannot be trained, because one before is not finished.
    """

    plan: Plan
    runs: Path
    stale: tuple[StageRun, ...]
    left: tuple[str, ...]


def of(plan: Plan) -> Renewal:
    """Return what of a plan is trained again; nothing is written."""
    records = Records(plan.options.runs)
    stale = stale_keys(plan, records)
    shortened = [_shortened(cell_run, records, stale) for cell_run in plan.cell_runs]
    options = replace(plan.options, runs=plan.options.runs / FOLDER)
    inner = replace(plan, options=options, cell_runs=tuple(r for r in shortened if r is not None))
    steps = tuple(step for step in inner.stage_runs if step.key in stale)
    trained = {step.key for step in steps}
    left = [s.title for s in plan.stage_runs if s.key in stale and s.key not in trained]
    return Renewal(plan=inner, runs=plan.options.runs, stale=steps, left=tuple(left))


def _shortened(cell_run: CellRun, records: Records, stale: frozenset[str]) -> CellRun | None:
    """Return a run up to its last stale stage before which all are finished; None without any."""
    length = 0
    for count in range(1, len(cell_run.run.stages) + 1):
        key = cell_run.run.key(count)
        if records.finished(key) is None and key not in stale:
            break
        length = count if key in stale else length
    if not length:
        return None
    return replace(cell_run, run=replace(cell_run.run, stages=cell_run.run.stages[:length]))


def prepare(renewal: Renewal) -> None:
    """Put the unchanged stages that stale ones start from into the inner store.

    What was trained there by sources that have changed since is discarded.
    """
    inner, outer = renewal.plan.options.runs, renewal.runs
    form.mark(inner)
    records = Records(inner)
    fresh = {step.key for step in renewal.stale}
    outdated = stale_keys(renewal.plan, records)
    for step in renewal.plan.stage_runs:
        if step.key in outdated:
            records.discard(step.key)
        if step.key in fresh:
            _discard_outdated_state(inner, step)
        if step.key not in fresh:
            for path in _files(outer, step.key):
                _link(path, inner / path.relative_to(outer))


def adopt(renewal: Renewal, tell: Callable[[str], None]) -> int:
    """Give stages that are finished in the inner store the place of their former files.

    Args:
        renewal: of these stages.
        tell: receives a line about a stage that another process is training.

    Returns:
        how many there were.
    """
    inner = Records(renewal.plan.options.runs)
    outdated = stale_keys(renewal.plan, inner)
    adopted = 0
    for step in renewal.stale:
        record = inner.read(step.key)
        if record is None or record.status != "done" or step.key in outdated:
            continue
        with claim(renewal.runs, step.key) as ours:
            if ours is None:
                tell(f"another process trains {step.title}; the next --stale takes it over")
                continue
            _replace(inner.folder, renewal.runs, step.key)
            adopted += 1
    return adopted


def clear(renewal: Renewal) -> None:
    """Remove from the inner store what was only put there for stale stages to start from."""
    inner, stale = renewal.plan.options.runs, {step.key for step in renewal.stale}
    for step in renewal.plan.stage_runs:
        if step.key not in stale:
            for path in _files(inner, step.key):
                path.unlink(missing_ok=True)


def _files(folder: Path, key: str) -> list[Path]:
    """Return the files of a finished stage that exist, the record last."""
    records = Records(folder)
    paths = (
        *weights.paths(folder, key),
        records.predictions_path(key),
        maps.path_of(folder, key),
        records.path(key),
    )
    return [path for path in paths if path.is_file()]


def _replace(inner: Path, outer: Path, key: str) -> None:
    """Move a stage's files from one store to another, the record last."""
    moved = _files(inner, key)
    for path in moved:
        target = outer / path.relative_to(inner)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    # Files that the former training alone has kept: its maps, and weights in the former format.
    new = {path.relative_to(inner) for path in moved}
    for path in (*weights.paths(outer, key)[1:], maps.path_of(outer, key)):
        if path.relative_to(outer) not in new:
            path.unlink(missing_ok=True)


def _discard_outdated_state(inner: Path, step: StageRun) -> None:
    """Remove an interrupted stage's states unless the present sources have made them.

    A training that other sources had begun would be stale again.
    """
    checkpoints = Checkpoints(inner, step.key)
    checkpoints.load()
    present = sources(step.run, step.num_stages)
    if any(attempt.sources != present for attempt in checkpoints.before):
        checkpoints.discard_state()


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

"""MLflow's view of a plan: its runs while they train, and the finished ones with their files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from harness.console import say
from harness.execute.watch import NoWatch, StageWatch
from harness.report import tracking, tracking_ledger, tracking_plan
from harness.report.tracking_live import Live
from harness.report.tracking_plan import Source
from harness.store import compact
from harness.wording import counted


def watch(source: Source | None) -> AbstractContextManager[StageWatch]:
    """Return what shows stages in MLflow while they train; without a source, nothing."""
    return nullcontext(NoWatch()) if source is None else Live(source)


def mirror_runs(source: Source, paths: Sequence[Path], *, trained: bool) -> None:
    """Mirror a plan's finished runs to MLflow, and attach the files to their table.

    A failure of MLflow is a warning: the command's own work is done and recorded.

    Args:
        source: of the runs.
        paths: the files.
        trained: whether the command has trained stages, so that MLflow is asked in any case.
    """
    # The records of a whole folder belong to no table; each run has its own.
    paths = [path for path in paths if not compact.is_records(path.name)]
    plan, runs = source.plan, tracking_plan.mirrors(source)
    known = not trained and not source.models
    if not runs or (known and not tracking_ledger.pending(runs, plan.options.runs)):
        return
    profile = plan.options.profile.name
    mirrored = tracking.publish(plan.name, profile, runs, paths, folder=plan.options.runs)
    if mirrored is not None and mirrored.written:
        say(f"{counted(mirrored.written, 'run')} mirrored to MLflow.")

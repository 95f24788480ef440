"""Publication of a study: its report is written, its finished trials are copied to MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.console import note, say
from harness.provenance import choose_device
from harness.report import tracking, tracking_ledger
from harness.report.table_style import FULL, TableStyle
from harness.report.tracking import Mirrored
from harness.spec.table import file_name
from harness.sweep import collect, report
from harness.sweep.study import Study
from harness.sweep.values import PART


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Options of how a study's report is written.

    Attributes:
        folder: folder of the files; None for ``reports/PROFILE``.
        formats: "md", "tex", "json", "csv".
        command: the command as typed, without the options that affect no result.
        style: of LaTeX files.
    """

    folder: Path | None
    formats: Sequence[str]
    command: str
    style: TableStyle = FULL


def write_pages(study: Study, options: PageOptions) -> list[Path]:
    """Write a study's report, print its best trial and return the files' paths."""
    design = study.design
    dataset = design.sweep.dataset
    name = file_name(design.name, design.base.columns[0].asked.name, dataset)
    folder = options.folder or Path("reports") / design.options.profile.name
    sheet = collect.lay_out(study, choose_device(), name=name, command=options.command)
    paths = report.write(sheet, folder, options.formats, options.style)
    for doubt in sheet.notes[len(design.sweep.notes) :]:
        note(f"harness: {doubt}")
    counts = ", ".join(f"{sheet.count(s)} {s}" for s in ("complete", "pruned", "fail"))
    best = sheet.complete[:1]
    if best:
        accuracy = 100 * (best[0].accuracy or 0.0)
        say(f"Best: trial {best[0].number}, {accuracy:.2f} % on the {PART}.")
    say(f"{design.study}: {counts}. Written: {', '.join(str(p) for p in paths)}")
    return paths


def mirror(study: Study, paths: Sequence[Path] = ()) -> bool:
    """Copy a study's finished trials to MLflow; paths are files attached to the parent run.

    Returns False if MLflow failed, which is only a warning.
    """
    design = study.design
    folder, profile = design.options.runs, design.options.profile.name
    runs = collect.mirrors(study)
    if not paths and not tracking_ledger.pending(runs, folder):
        return True
    mirrored = tracking.publish(design.study, profile, runs, paths, folder=folder, kind="sweep")
    if mirrored is None:
        return False
    if mirrored.written and not paths:
        note(f"{mirrored.written} trials mirrored to MLflow.")
    return True


def compare(study: Study) -> tuple[int, Mirrored]:
    """Write what MLflow lacks of a study; return its number of finished trials, and what was done.

    Raises:
        UserError: MLflow cannot be used.
    """
    design = study.design
    folder, profile = design.options.runs, design.options.profile.name
    runs = collect.mirrors(study)
    if not runs:
        return 0, Mirrored()
    return len(runs), tracking.mirror(design.study, profile, runs, [], folder=folder, kind="sweep")

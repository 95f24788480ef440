"""Publication of a study: its report is written, its finished trials are copied to MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.console import note, say
from harness.provenance import choose_device
from harness.report import tracking, tracking_ledger
from harness.report.table_style import FULL, TableStyle
from harness.report.tracking import Mirrored
from harness.sweep import collect, naming, report
from harness.sweep.design import Design
from harness.sweep.study import Study
from harness.sweep.values import PART
from harness.wording import counted


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Options of how a study's report is written.

    Attributes:
        experiment: as the command line names it.
        folder: folder of the files; None for ``reports/PROFILE``.
        formats: "md", "tex", "json", "csv".
        command: the command as typed, without the options that affect no result.
        style: of LaTeX files.
        name: of the files, given by the user; None for the study's own.
        force: overwrite files of something else, and those that git tracks.
    """

    experiment: str
    folder: Path | None
    formats: Sequence[str]
    command: str
    style: TableStyle = FULL
    name: str | None = None
    force: bool = False

    def of(self, design: Design) -> tuple[Path, str]:
        """Return the folder and the name of a design's files.

        Raises:
            UserError: the given name is none of a file.
        """
        folder = self.folder or Path("reports") / design.options.profile.name
        return folder, naming.page_name(design, self.name)


def look(designs: Sequence[Design], options: PageOptions) -> None:
    """Look at the files that pages would overwrite, before they are.

    Raises:
        UserError: one is of something else, or tracked by git.
    """
    for design in designs:
        folder, name = options.of(design)
        if not options.force:
            naming.look(design, options.experiment, folder, name, options.formats)


def write_pages(study: Study, options: PageOptions) -> list[Path]:
    """Write a study's report, print its best trial and return the files' paths."""
    design = study.design
    folder, name = options.of(design)
    sheet = collect.lay_out(study, choose_device(), name=name, command=options.command)
    made = naming.made(design, options.experiment, folder)
    sheet = replace(sheet, context=replace(sheet.context, made=made))
    formats = dict.fromkeys((*options.formats, "json"))  # by which the files are known again
    paths = report.write(sheet, folder, tuple(formats), options.style)
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
        note(f"{counted(mirrored.written, 'trial')} mirrored to MLflow.")
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

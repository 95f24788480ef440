"""Publish a study: write its pages, and mirror its finished trials to MLflow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.provenance import choose_device
from harness.report import tracking
from harness.spec.table import file_name
from harness.sweep import collect, report
from harness.sweep.study import Study
from harness.sweep.values import PART


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Where and how pages are written.

    Attributes:
        folder: None for ``reports/PROFILE``.
        formats: of ``harness.sweep.report.FORMATS``.
        command: as typed, without what makes no number.
    """

    folder: Path | None
    formats: Sequence[str]
    command: str


def write_pages(study: Study, options: PageOptions) -> list[Path]:
    """Write a study's pages, print what was reached and return the pages' paths."""
    made = study.design
    own = made.sweep.dataset
    name = file_name(made.name, made.base.columns[0].asked.name, own)
    folder = options.folder or Path("reports") / made.options.profile.name
    sheet = collect.lay_out(study, choose_device(), name=name, command=options.command)
    paths = report.write(sheet, folder, options.formats)
    counts = ", ".join(f"{sheet.count(s)} {s}" for s in ("complete", "pruned", "fail"))
    best = sheet.complete[:1]
    if best:
        reached = 100 * (best[0].accuracy or 0.0)
        print(f"Best: trial {best[0].number}, {reached:.2f} % on the {PART}.")
    print(f"{made.study}: {counts}. Written: {', '.join(str(p) for p in paths)}")
    return paths


def mirror(study: Study, paths: Sequence[Path] = ()) -> None:
    """Bring MLflow up to a study, without duplicates; paths are kept beside the parent run."""
    design = study.design
    folder, profile = design.options.runs, design.options.profile.name
    runs = tracking.pending(collect.mirrors(study), folder)
    if runs or paths:
        count = tracking.mirror(design.study, profile, runs, paths, folder=folder, kind="sweep")
        if count and not paths:
            print(f"{count} trials mirrored to MLflow.", file=sys.stderr)

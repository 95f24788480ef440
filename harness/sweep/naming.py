"""Names of a study's files, and a look at what would be overwritten by them.

The JSON file is always written: it says of which study the others are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import files
from harness.canonical import digest
from harness.errors import Damaged, UserError
from harness.plan import naming
from harness.report import existing
from harness.report.style import FORMATS
from harness.spec.table import file_name
from harness.store.made import Made
from harness.sweep.design import Design, default_study

PICTURES = ("heat", "pareto")
"""Names of a study's figures, after that of its page."""


def page_name(design: Design, given: str | None = None) -> str:
    """Return the name of a study's files.

    A study of the sweep as it ships is SWEEP or SWEEP-DATASET; one of another seed or study,
    or with other settings or objectives, SWEEP-part-XXXXXXXX, stable for equal parts.

    Args:
        design: of the study.
        given: by the user, for the sweep's own data set; None for the study's own name.

    Raises:
        UserError: the given name is none of a file.
    """
    given = naming.checked(given)
    parts = _parts(design)
    part = f"-part-{digest({k: list(v) for k, v in parts.items()})[:8]}" if parts else ""
    own = design.base.columns[0].asked.name
    return file_name(given or f"{design.name}{part}", own, design.sweep.dataset)


def made(design: Design, experiment: str, folder: Path) -> Made:
    """Return what tells a study's files from others.

    Args:
        design: of the study.
        experiment: as the command line names it.
        folder: of the files.
    """
    used = design.base.columns[0].used.name
    return Made(
        experiment=design.name,
        file=naming.file_of(experiment, folder),
        profile=design.options.profile.name,
        parts={"data set": (used,), **_parts(design)},
    )


def look(design: Design, experiment: str, folder: Path, name: str, formats: Sequence[str]) -> None:
    """Look at the files that a study's pages would overwrite.

    Raises:
        UserError: one is of something else, or tracked by git.
    """
    path = folder / f"{name}.json"
    there = existing.made_of(path) or _earlier(path, design)
    if there is not None and (differs := made(design, experiment, folder).differs(there)):
        stem = path.with_suffix("")
        raise UserError(f"{stem} is not written: there lies {differs}. {existing.INSTEAD}.")
    paths = dict.fromkeys(_paths(folder, name, formats))
    existing.refuse_tracked(paths)
    if not path.exists():
        existing.refuse_foreign(paths)


def _parts(design: Design) -> dict[str, tuple[str, ...]]:
    """Return how a study differs from that of the sweep as it ships, by what differs."""
    options, seed = design.options, design.base.seeds[0]
    usual = default_study(design.name, design.base)
    parts = {
        "seed": (str(seed),) if seed != options.profile.seeds[0] else (),
        "settings": options.overrides,
        "objectives": design.sweep.objectives if design.changed_objectives else (),
        "study": (design.study,) if design.study != usual else (),
    }
    return {name: values for name, values in parts.items() if values}


def _paths(folder: Path, name: str, formats: Sequence[str]) -> Iterator[Path]:
    yield from (folder / f"{name}.{ending}" for ending in formats)
    endings = (*FORMATS, "json", "txt")
    yield from (folder / f"{name}-{p}.{ending}" for p in PICTURES for ending in endings)
    if "tex" in formats:
        yield from existing.further_latex(folder, name)


def _earlier(path: Path, design: Design) -> Made | None:
    """Return what a page of an earlier version is of, which names its study alone.

    Raises:
        UserError: the file is no page of a sweep.
    """
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise UserError(f"{error} It would be overwritten. {existing.INSTEAD}.") from error
    study = value.get("study") if isinstance(value, dict) else None
    if not isinstance(study, str):
        raise UserError(f"{path} is not written: it is no page of a sweep. {existing.INSTEAD}.")
    if study == design.study:
        return None
    return Made(experiment=study, profile=design.options.profile.name)

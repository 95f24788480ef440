"""Pages of confusion matrices, figures per class and calibration: Markdown and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.canonical import short
from harness.evaluate import derived
from harness.evaluate.derived import ClassFigures
from harness.plan.plan import Plan
from harness.report import classes, classes_figure, json_files, notes, tex_page
from harness.report.cells import COLLAPSED
from harness.report.classes import DatasetClasses, RowClasses, RunClasses, Spread
from harness.report.keep import Written
from harness.report.markdown import escape
from harness.report.numbers import fixed
from harness.report.table_style import FULL, TableStyle
from harness.report.values import NOTHING, Context, Note
from harness.spec.table import Table, file_name

FORMAT = 1
"""Version of the JSON layout, increased when the layout changes."""


def to_json(table: Table, datasets: Sequence[DatasetClasses], context: Context) -> dict[str, Any]:
    """Return all runs as JSON values, unrounded and in natural units (shares in 0..1)."""
    return {
        "format": FORMAT,
        "kind": "classes",
        "name": f"{context.name}-classes",
        "caption": " ".join(_caption(table, context)),
        "units": "natural: shares, areas and confidences in 0..1",
        "confusion": "counts; rows are labels, columns predictions, in the order of the classes",
        "ece_bins": derived.BINS,
        "context": {**dataclasses.asdict(context), "versions": dict(context.versions)},
        "datasets": [_dataset(dataset) for dataset in datasets],
    }


def write(
    plan: Plan,
    context: Context,
    folder: Path,
    formats: Sequence[str] = (),
    style: TableStyle = FULL,
) -> Written:
    """Write ``NAME-classes.md`` and ``.json``, and a PNG per data set.

    Args:
        plan: the table's plan.
        context: how the table is made.
        folder: folder of the files.
        formats: "tex" also writes ``NAME-classes.tex``; others change nothing.
        style: of LaTeX files.

    Raises:
        UserError: no row classifies, or the folder cannot be written.
    """
    datasets = classes.collect(plan)
    name = f"{context.name}-classes"
    paths = []
    for dataset in datasets:
        drawn = classes_figure.draw(dataset)
        path = folder / f"{file_name(name, dataset.name, plan.own)}.png"
        if drawn is not None:
            files.write_bytes(path, drawn)
            paths.append(path)
    page = render(plan.table, datasets, context, [path.name for path in paths])
    files.write_text(folder / f"{name}.md", page)
    json_files.write(folder / f"{name}.json", to_json(plan.table, datasets, context))
    if "tex" in formats:
        for file, text in latex(plan.table, datasets, context, style).items():
            files.write_text(folder / file, text)
            paths.append(folder / file)
    runs = {run.key for dataset in datasets for row in dataset.rows for run in row.runs}
    pages = (folder / f"{name}.md", folder / f"{name}.json")
    return Written(name=name, runs=tuple(sorted(runs)), paths=(*pages, *paths), made=context.made)


def _dataset(dataset: DatasetClasses) -> dict[str, Any]:
    column = dataset.column
    return {
        "name": dataset.name,
        "dataset": column.used.name,
        "title": dataset.title,
        "phantom": column.phantom,
        "split": column.split,
        "data": column.manifest.fingerprint,
        "classes": list(dataset.classes),
        "rows": [
            {
                "name": row.row.name,
                "label": row.label,
                "runs": [_run(run) for run in row.runs],
                "lacking": {str(seed): why for seed, why in row.lacking.items()},
            }
            for row in dataset.rows
        ],
    }


def _run(run: RunClasses) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "key": run.key,
        "commit": run.commit,
        "epoch": run.epoch,
        "n": run.n,
        "collapsed": run.collapsed,
        "metrics": run.metrics,
        "confusion": run.confusion.tolist(),
        "classes": [dataclasses.asdict(figures) for figures in run.classes],
        "bins": [dataclasses.asdict(b) for b in run.bins],
    }


def _caption(table: Table, context: Context) -> tuple[str, ...]:
    """Return the caption's sentences."""
    changed = dataclasses.replace(table, title=f"Classes and calibration: {table.title}", source="")
    return notes.caption(changed, context)


def render(
    table: Table, datasets: Sequence[DatasetClasses], context: Context, figures: Sequence[str]
) -> str:
    """Return the Markdown page; ``figures`` are the names of the files drawn beside it."""
    title, *rest = _caption(table, context)
    lines = [f"# {escape(title)}", ""]
    lines += [escape(" ".join(rest)), ""] if rest else []
    for dataset in datasets:
        lines += [f"## {escape(dataset.title)}", "", *_section(dataset), ""]
    lines += ["## Notes", "", *(f"- {text}" for text in _notes(datasets, context, figures))]
    return "\n".join(lines) + "\n"


def latex(
    table: Table, datasets: Sequence[DatasetClasses], context: Context, style: TableStyle
) -> Mapping[str, str]:
    """Return the pages' tables as LaTeX files by name, see ``harness.report.tex_page``."""
    sections = []
    for dataset in datasets:
        rows = [row for row in dataset.rows if row.runs]
        for title, heads, cells in _tables(dataset, rows) if rows else ():
            shown = tex_page.table(heads, cells, "l" + "r" * (len(heads) - 1))
            sections.append(tex_page.Section(title=f"{dataset.title}: {title}", table=shown))
    return tex_page.render(
        tex_page.Page(
            name=f"{context.name}-classes",
            caption=_caption(table, context),
            sections=tuple(sections),
            notes=(Note(label="Made", text=notes.made(context)),),
            comments=(f"Made by: {context.command}",),
            prose=True,
            each=_caption(table, context)[1:],
        ),
        style,
    )


def _tables(
    dataset: DatasetClasses, rows: Sequence[RowClasses]
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield titles, headings and rows of the tables of a data set, as plain text."""
    known = derived.known()
    yield (
        "all classes",
        ["Method", "n", "seeds", *(metric.title for metric in known.values())],
        [
            [*_who(r), *(_number(r.metric(m), 1.0 * q.factor, q.digits) for m, q in known.items())]
            for r in rows
        ],
    )
    for title, get in PER_CLASS:
        yield (
            title,
            ["Method", "n", "seeds", *_counted(dataset, rows[0].runs[0])],
            [
                [*_who(r), *(_number(r.of_class(k, get)) for k in range(len(dataset.classes)))]
                for r in rows
            ],
        )
    for row in rows:
        digits = 0 if len(row.runs) == 1 else 1
        yield (
            f"{CONFUSION}, {row.label}",
            ["label", *dataset.classes],
            [
                [name, *(fixed(float(count), digits) for count in line)]
                for name, line in zip(dataset.classes, row.confusion, strict=True)
            ],
        )


PER_CLASS: tuple[tuple[str, Callable[[ClassFigures], float | None]], ...] = (
    ("Recall per class (%)", lambda c: c.recall),
    ("AUROC per class, one against the rest (%)", lambda c: c.auroc),
)
CONFUSION = "Confusion matrix (rows: label; columns: prediction; mean images over seeds)"


def _section(dataset: DatasetClasses) -> Iterator[str]:
    rows = [row for row in dataset.rows if row.runs]
    if not rows:
        yield "No finished run."
        return
    for place, (title, heads, cells) in enumerate(_tables(dataset, rows)):
        if place:
            yield from ("", f"{escape(title)}:", "")
        yield from _table(heads, cells)


def _counted(dataset: DatasetClasses, run: RunClasses) -> list[str]:
    """Return the names of the classes with their numbers of images."""
    return [f"{c} (n = {f.n})" for c, f in zip(dataset.classes, run.classes, strict=True)]


def _who(row: RowClasses) -> list[str]:
    counts = sorted({run.n for run in row.runs})
    seeds = ", ".join(str(run.seed) for run in row.runs)
    return [f"{row.label}{_collapsed(row)}", " / ".join(map(str, counts)), seeds]


def _collapsed(row: RowClasses) -> str:
    """Return a remark on how many runs answer one class only; "" if none does."""
    collapsed, runs = sum(run.collapsed for run in row.runs), len(row.runs)
    if not collapsed:
        return ""
    return f" ({COLLAPSED})" if collapsed == runs else f" ({COLLAPSED} {collapsed} of {runs})"


def _number(spread: Spread | None, factor: float = 100.0, digits: int = 2) -> str:
    if spread is None:
        return NOTHING
    text = fixed(factor * spread.mean, digits)
    return text if spread.sd is None else f"{text} ± {fixed(factor * spread.sd, digits)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = [":---", *["---:"] * (len(heads) - 1)]
    escaped = [list(map(escape, line)) for line in (heads, *rows)]
    return [f"| {' | '.join(line)} |" for line in (escaped[0], rule, *escaped[1:])]


def _notes(
    datasets: Sequence[DatasetClasses], context: Context, figures: Sequence[str]
) -> Iterator[str]:
    yield f"**Epoch:** the {context.rule} of each run, as in the table."
    yield (
        "**Numbers:** mean ± standard deviation over the seeds; computed from the kept predictions,"
        " nothing was trained. The predicted class is the first one with the highest probability."
        f" {NOTHING}: undefined (no image of the class, or of no other)."
    )
    yield (
        f"**Calibration:** expected calibration error of the predicted class over {derived.BINS}"
        " bins of equal width; the bins of each run are in the JSON file. ECE depends on the"
        " number of bins and is biased upwards where bins have few images."
    )
    for dataset in datasets:
        column = dataset.column
        generated = ", generated images" if column.phantom else ""
        yield (
            f"**{escape(dataset.title)}:** data {short(column.manifest.fingerprint)}, split"
            f" {column.split}{generated}."
        )
        for row in dataset.rows:
            keys = " ".join(short(run.key) for run in row.runs)
            yield from [f"{escape(row.label)}: {keys}"] if keys else []
            for seed, why in row.lacking.items():
                yield f"{escape(row.label)}, seed {seed}, is absent: {escape(why)}"
    if figures:
        drawn = ", ".join(f"[{escape(figure)}]({figure})" for figure in figures)
        yield f"**Drawn:** {drawn}. {escape(classes_figure.LEGEND)}"
    versions = ", ".join(f"{name} {version}" for name, version in context.versions.items())
    commit = f"commit {short(context.commit)}{' with changes' if context.dirty else ''}"
    yield f"**Made:** {context.created}; {escape(context.command)}; {commit}; {escape(versions)}."

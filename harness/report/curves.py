"""What the stages of a table measured by epoch: laid out for tables, figures and JSON.

A stage that several rows share is shown once, under the first of them. Numbers are in display units
(natural units times ``Curve.factor``), unrounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.plan import outputs
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, Plan
from harness.report import looks, notes
from harness.report.looks import Look
from harness.report.style import drawable
from harness.report.values import Context, Note
from harness.spec.table import Curve, Curves, file_name
from harness.stats import intervals
from harness.store.record import Records


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one stage measured, by seed.

    Attributes:
        seed: of the run.
        key: of the stage.
        commit: that it was trained at.
        values: by name of the figure, one value per epoch; None where it was not measured.
    """

    seed: int
    key: str
    commit: str
    values: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, kw_only=True)
class Line:
    """The stages of one row in one phase, over all finished seeds."""

    row: str
    label: str
    series: tuple[Series, ...]

    def last(self, name: str) -> tuple[float, ...]:
        """Return the values of a figure at the last epoch, by seed."""
        values = [s.values[name][-1] for s in self.series if s.values.get(name)]
        return tuple(v for v in values if v is not None)

    def by_epoch(self, name: str) -> list[tuple[int, tuple[float, ...]]]:
        """Return the epochs (0-based) at which all seeds have the figure, and its values."""
        columns = zip(*(s.values.get(name, ()) for s in self.series), strict=False)
        complete = [(e, tuple(v for v in c if v is not None)) for e, c in enumerate(columns)]
        return [(epoch, values) for epoch, values in complete if len(values) == len(self.series)]

    def drawn(self, name: str) -> list[tuple[int, tuple[float, ...]]]:
        """Return those of ``by_epoch`` whose values can be drawn."""
        return [(e, values) for e, values in self.by_epoch(name) if all(map(drawable, values))]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A phase of a group of rows: the figures that its stages have, and a line for every row."""

    phase: str
    title: str
    curves: tuple[Curve, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """What is written for one data set.

    Attributes:
        name: of the files, without extension.
        caption: sentences in order; the first is the title.
        heading: heading of the rows' labels.
        sections: phases of groups of rows, in order.
        missing: names of rows without a finished stage.
        notes: on how the numbers were made.
        context: of the command.
        dataset: name of the data set that was used.
        data: fingerprint of its store.
        looks: how rows are drawn, by name.
    """

    name: str
    caption: tuple[str, ...]
    heading: str
    sections: tuple[Section, ...]
    missing: tuple[str, ...]
    notes: tuple[Note, ...]
    context: Context
    dataset: str
    data: str
    looks: Mapping[str, Look] = field(default_factory=dict)


def pages(plan: Plan, context: Context) -> tuple[Page, ...]:
    """Return a page per data set with what the finished stages measured; without curves none."""
    curves = plan.table.curves
    if curves is None:
        return ()
    laid_out = []
    for dataset, columns in outputs.by_dataset(plan).items():
        shown = next(c for c in columns if c.column.cost is None and c.column.probe is None)
        name = file_name(f"{plan.name}-{curves.name}", dataset, plan.own)
        laid_out.append(_page(plan, curves, shown, context, name))
    return tuple(laid_out)


def _page(plan: Plan, curves: Curves, column: ColumnPlan, context: Context, name: str) -> Page:
    cell_runs = [c for c in plan.cell_runs if c.column == column.column]
    sections = tuple(_sections(curves, cell_runs, Records(plan.options.runs)))
    shown = {line.row for section in sections for line in section.lines}
    seeds = f"seed {plan.seeds[0]}" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    generated = " Generated images." if column.phantom else ""
    caption = (
        f"{curves.title}.",
        *([notes.scaled_down(context, own=plan.table.own)] if context.scaled_down else []),
        f"{_named(column)}, {seeds}.{generated}",
    )
    return Page(
        name=name,
        caption=caption,
        heading=plan.table.heading,
        sections=sections,
        missing=tuple(dict.fromkeys(c.row.name for c in cell_runs if c.row.name not in shown)),
        notes=_notes(plan, curves, column, context, sections),
        context=context,
        dataset=column.used.name,
        data=column.manifest.fingerprint,
        looks=looks.of_table(plan.whole),
    )


def _named(column: ColumnPlan) -> str:
    asked, used = column.asked, column.used
    return asked.title if asked.name == used.name else f"{asked.title} ({used.name})"


def _sections(curves: Curves, cell_runs: list[CellRun], records: Records) -> Iterator[Section]:
    """Yield the measured stages by phase and group of rows, in order.

    A stage is measured if its history has the first of the figures. One that several rows share is
    the first row's.
    """
    names = {c.name for c in curves.curves}
    names |= {c.chance for c in curves.curves if c.chance is not None}
    found: dict[tuple[str, str], dict[str, list[Series]]] = {}
    labels, seen = {}, set()
    for cell_run in cell_runs:
        row = cell_run.row
        for number, stage in enumerate(cell_run.run.stages, 1):
            key = cell_run.run.key(number)
            record = records.finished(key)
            if key in seen or record is None:
                continue
            seen.add(key)
            history = record.finished.history
            values = {n: tuple(epoch.get(n) for epoch in history) for n in names}
            known = {n: v for n, v in values.items() if any(value is not None for value in v)}
            if curves.curves[0].name in known:
                series = Series(seed=cell_run.seed, key=key, commit=record.commit, values=known)
                rows = found.setdefault((stage.phase, row.group), {})
                rows.setdefault(row.name, []).append(series)
                labels[row.name] = row.label
    for phase, title in curves.phases.items():
        for (of, group), rows in found.items():
            if of == phase:
                lines = tuple(
                    Line(row=name, label=labels[name], series=tuple(series))
                    for name, series in rows.items()
                )
                shown = tuple(c for c in curves.curves if any(line.last(c.name) for line in lines))
                heading = f"{title}. {group}" if group else title
                yield Section(phase=phase, title=heading, curves=shown, lines=lines)


def _notes(
    plan: Plan,
    curves: Curves,
    column: ColumnPlan,
    context: Context,
    sections: tuple[Section, ...],
) -> tuple[Note, ...]:
    numbers = "at the last epoch, on the training images"
    several = len(plan.seeds) > 1
    if several:
        numbers += "; mean ± standard deviation over the seeds"
    commits = {s.commit for section in sections for line in section.lines for s in line.series}
    pairs = [
        ("Numbers", f"{numbers}; in brackets: by chance. Accuracy is on the reported images"),
        ("Figure", "dotted: chance; band: lowest to highest seed" if several else "dotted: chance"),
        ("Seeds", ", ".join(map(str, plan.seeds))),
        ("Profile", context.profile),
        ("Changed settings", "; ".join(context.overrides)),
        ("Data", f"{column.used.name}, {column.manifest.fingerprint[:12]}"),
        ("Commits of the runs", ", ".join(sorted(commit[:12] for commit in commits))),
        ("Made", notes.made(context)),
        *(("Note", text) for text in curves.notes),
    ]
    return tuple(Note(label=label, text=text) for label, text in pairs if text)


def chance(curve: Curve, line: Line) -> float | None:
    """Return a figure's value by chance at the last epoch, in display units; None without one."""
    if curve.chance is None:
        return None if curve.level is None else curve.factor * curve.level
    values = line.last(curve.chance)
    return curve.factor * intervals.mean(values) if values else None


def cell(curve: Curve, line: Line, *, spread: bool = True) -> str:
    """Return a figure at the last epoch as text, with its spread and chance; "" without one."""
    values = [curve.factor * value for value in line.last(curve.name)]
    if not values:
        return ""
    text = f"{intervals.mean(values):.{curve.digits}f}"
    if len(values) > 1 and spread:
        text += f" ± {intervals.sd(values):.{curve.digits}f}"
    by_chance = chance(curve, line)
    return text if by_chance is None else f"{text} ({by_chance:.{curve.digits}f})"

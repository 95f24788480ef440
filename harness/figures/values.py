"""What a figure is made from and what it gives: a drawing, or a reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.canonical import short
from harness.plan import outputs
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, Plan
from harness.report import looks
from harness.report.notes import is_of_the_paper, scaled_down
from harness.report.style import Style
from harness.report.values import Context
from harness.spec.table import Row
from harness.store.result import to_json
from harness.wording import named

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure as Canvas

Cell = str | int | float | bool | None
"""A value of a CSV file."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        plan: the experiment with its rows, columns and seeds.
        context: how it is made.
        experiment: its name or path, as it was typed.
        device: times that are shown were measured on it.
        images: draw the data sets' own images, too.
        again: the command that trains what a figure lacks.
    """

    plan: Plan
    context: Context
    experiment: str
    device: torch.device
    images: bool = True
    again: str = "harness run"


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure that can be drawn, with its data.

    Attributes:
        name: of its files, without extension.
        caption: sentences in order.
        data: what is drawn, as JSON values.
        rows: the same as lines of a CSV file; all have the same columns.
        draw: draws it in a style.
    """

    name: str
    caption: tuple[str, ...]
    data: Mapping[str, Any]
    rows: tuple[Mapping[str, Cell], ...]
    draw: Callable[[Style], Canvas]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A figure, or a part of one, that cannot be drawn, and what to do about it, in one line."""

    name: str
    why: str


Made = Iterator[Drawing | Missing]
"""What a figure gives: one drawing per data set, and what is missing."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A kind of figure.

    Attributes:
        name: by which it is asked for: the paper's number or a word.
        title: what it shows.
        needs: what of finished runs it needs.
        make: makes it.
    """

    name: str
    title: str
    needs: str
    make: Callable[[Request], Made]

    @property
    def stem(self) -> str:
        """What the names of its files contain."""
        return f"figure{self.name}" if self.name.isdigit() else self.name


def with_labels(request: Request) -> Request:
    """Return a request whose rows have different labels: equal ones are followed by the name."""
    labels = looks.labels(request.plan.whole)

    def told(row: Row) -> Row:
        label = labels.get(row.name, row.label)
        return row if label == row.label else replace(row, label=label)

    plan = request.plan
    table = replace(plan.table, rows=tuple(map(told, plan.table.rows)))
    cell_runs = tuple(replace(each, row=told(each.row)) for each in plan.cell_runs)
    return replace(request, plan=replace(plan, table=table, cell_runs=cell_runs))


def datasets(plan: Plan) -> dict[str, ColumnPlan]:
    """Return by data set the first column that shows trained models, not costs or probes."""
    shown = {}
    for name, columns in outputs.by_dataset(plan).items():
        trained = [c for c in columns if c.column.cost is None and c.column.probe is None]
        if trained:
            shown[name] = trained[0]
    return shown


def cell_runs(plan: Plan, column: ColumnPlan) -> dict[str, list[CellRun]]:
    """Return the runs of a column by name of the row, in order of rows and seeds."""
    rows: dict[str, list[CellRun]] = {}
    for cell_run in plan.cell_runs:
        if cell_run.column == column.column:
            rows.setdefault(cell_run.row.name, []).append(cell_run)
    return rows


def file_name(request: Request, stem: str, dataset: str | None = None) -> str:
    """Return the name of a figure's files: experiment, figure and the data that were used."""
    return "-".join(part for part in (request.plan.name, stem, dataset) if part)


def caption(
    request: Request,
    title: str,
    sentences: Iterable[str] = (),
    *,
    column: ColumnPlan | None = None,
    paper: str = "",
    seeds: Sequence[int] | None = None,
) -> tuple[str, ...]:
    """Return the sentences below a figure.

    Args:
        request: what is drawn.
        title: the first sentence.
        sentences: how to read it.
        column: the data, where all are of one data set.
        paper: the figure of the paper that is drawn anew; "" for none. Only tables of the paper
            say so.
        seeds: seeds that are shown; None for those of the plan.
    """
    context, whole = request.context, request.plan.whole
    sentence = title.rstrip(".")
    lines = [f"{sentence[:1].upper()}{sentence[1:]}."]
    if paper and is_of_the_paper(whole):
        lines.append(f"After {paper} of the paper.")
    if context.scaled_down:
        lines.append(scaled_down(context, own=whole.own))
    if context.overrides:
        lines.append(f"Changed settings: {'; '.join(context.overrides)}.")
    lines += [sentence for sentence in sentences if sentence]
    if column is not None:
        generated = ", generated images" if is_generated(column) else ""
        lines.append(f"Data: {column.used.title} ({column.used.name}{generated}).")
    shown = request.plan.seeds if seeds is None else tuple(seeds)
    lines.append(f"{named('Seed', shown)}.")
    return tuple(lines)


def is_generated(column: ColumnPlan) -> bool:
    """Whether the images of a column are phantoms."""
    return column.phantom or column.used.name.startswith("phantom")


def facts(request: Request, column: ColumnPlan | None = None) -> dict[str, Any]:
    """Return where the data of a figure come from, as JSON values."""
    context = request.context
    of_data = {}
    if column is not None:
        of_data = {
            "dataset": column.used.name,
            "generated": is_generated(column),
            "data": column.manifest.fingerprint,
            "split": column.split,
        }
    return {
        "experiment": context.name,
        "profile": context.profile,
        "rule": context.rule,
        "overrides": list(context.overrides),
        "commit": context.commit,
        "changes": context.dirty,
        **({} if context.made is None else {"context": {"made": to_json(context.made)}}),
        **of_data,
    }


def of_run(cell_run: CellRun, key: str, commit: str) -> dict[str, Cell]:
    """Return what identifies a run in the data of a figure."""
    return {
        "row": cell_run.row.name,
        "label": cell_run.row.label,
        "seed": cell_run.seed,
        "key": key,
        "commit": commit,
    }


def unfinished(request: Request, stem: str, rows: Sequence[str], dataset: str) -> Missing:
    """Return that rows have no finished run on a data set, and the command that trains them."""
    names = ", ".join(rows)
    return Missing(
        name=stem,
        why=f"no finished run of {names} on {dataset}; run `{request.again}`",
    )


def keys(rows: Iterable[Mapping[str, Cell]]) -> list[str]:
    """Return the shortened keys of the runs of some lines, each once."""
    return list(dict.fromkeys(short(str(row["key"])) for row in rows))

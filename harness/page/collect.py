"""Collect a page: each plan's grid and verdicts as a view, and the runs behind every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.page import find, runs
from harness.page.chips import chip, tally
from harness.page.find import ReadOnce, Wanted
from harness.page.values import (
    CellView,
    ColumnView,
    ConstantView,
    GridView,
    GroupView,
    LinesView,
    Page,
    ProfileView,
    RowView,
    SeedView,
    TableView,
    Tally,
)
from harness.plan import catalog, outputs
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report import collect as report_collect
from harness.report.costs import fill
from harness.report.evidence import ImageEvidence, KeptPredictions
from harness.report.grid import lay_out
from harness.report.numbers import bracket, fixed, signed
from harness.report.values import COMPARED, KEYS, NOTHING, Cell, ColumnContext, Entry, Grid
from harness.report.values import GridColumn as Column
from harness.store import margins as ledger
from harness.store.margins import TableFile
from harness.verdict import frozen
from harness.verdict.effects import Effect
from harness.verdict.read import Read
from harness.verdict.table import TableVerdict, judge_plan, remarks
from harness.verdict.values import Verdict

MEANINGS: Mapping[str, str] = {
    "smoke": "A check that everything works, on small or generated images and tiny encoders. Its"
    " numbers say nothing about the paper.",
    "laptop": "Real images at 64 pixels and small encoders. Scaled down: not a reproduction of the"
    " paper.",
    "paper": "The paper's image size, encoders and epochs: the reproduction.",
}
"""What the numbers of the shipped profiles can say."""

MARGINS = "Margins of the verdicts"
"""Heading of what the ledgers say of each column's margin."""

Verdicts = Mapping[tuple[str, str], Verdict]


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A page without pictures and articles, and the plans that it shows."""

    page: Page
    plans: tuple[Plan, ...]


def collect(wanted: Wanted, *, title: str, command: str, device: str) -> Collected:
    """Read the records of all tables that are wanted; nothing is trained.

    Raises:
        UserError: there is nothing to show, or a margin is not the frozen one.
    """
    records = find.ReadOnce(wanted.options.runs)
    plans = tuple(find.with_probes(plan, records) for plan in find.plans(wanted, records))
    behind = runs.Behind(records, wanted.typed())
    tables = [_table(plan, records, behind, command=command, device=device) for plan in plans]
    profiles = dict.fromkeys(plan.options.profile.name for plan in plans)
    context = report_collect.context(plans[0], command=command, device=device)
    changed = " with changes" if context.dirty else ""
    page = Page(
        title=title,
        made=(
            f"Written by `{command}` on {context.created}",
            f"harness at commit {context.commit[:12]}{changed}",
            f"epoch shown: the {wanted.options.rule} one",
        ),
        profiles=tuple(
            ProfileView(
                name=name,
                meaning=MEANINGS.get(name, ""),
                tables=tuple(
                    sorted((t for t in tables if t.profile == name), key=lambda t: not t.source)
                ),
            )
            for name in sorted(profiles, key=_importance)
        ),
        data=behind.to_json(),
    )
    return Collected(page=page, plans=plans)


def _importance(profile: str) -> int:
    """Order profiles by what their numbers can say."""
    return {"paper": 0, "laptop": 1}.get(profile, 2)


def _table(
    plan: Plan, records: ReadOnce, behind: runs.Behind, *, command: str, device: str
) -> TableView:
    """Return the view of one plan, and add its runs to those behind the page."""
    entries = report_collect.entries(plan, records)
    costs = fill(plan, runs.timing(plan, behind.typed(plan)))
    kept = KeptPredictions(plan, records)
    known = Read(entries=entries, costs=costs, kept=kept, records=records)
    file = TableFile(name=plan.name, place=catalog.place(behind.typed(plan)))
    whole = find.without_probes(plan)
    ledger.check(plan.options.runs, file, frozen.chosen(whole.table))
    judged = judge_plan(whole, file=file, known=known)
    verdicts = {(cell.row.name, cell.column.name): v for cell, v in judged.numbers}
    context = report_collect.context(plan, command=command, device=device)
    contexts = {column.column.name: _context(plan, column) for column in plan.columns}
    prepared = {column.column.name for column in plan.columns if column.prepared}

    def images(column: Column, some: Sequence[Entry]) -> ImageEvidence | None:
        return kept(column, some) if column.name in prepared else None

    views: list[GridView] = []
    notes: dict[tuple[str, str], None] = {}
    margins = {(s.column, s.text.partition(" ")[2]): None for s in judged.standings}
    folded: dict[str, dict[tuple[str, str], None]] = {MARGINS: margins, COMPARED: {}, KEYS: {}}
    sheets = outputs.tables(plan)
    for sheet in sheets:
        names = {c.column.name for c in sheet.columns}
        grid = lay_out(
            sheet.table,
            [e for e in entries if e.column in names],
            [contexts[c.column.name] for c in sheet.columns],
            context,
            costings=costs,
            images=images,
        )
        behind.add(sheet, grid, verdicts)
        views += _grids(sheet, grid, verdicts, sheet_title=sheet.name if len(sheets) > 1 else "")
        notes |= dict.fromkeys((n.label, n.text) for n in (*grid.footnotes, *grid.notes))
        folded[COMPARED] |= dict.fromkeys((n.label, n.text) for n in grid.compared)
        folded[KEYS] |= dict.fromkeys((n.label, n.text) for n in grid.keys)
    probes = {column.column.name for column in plan.columns if column.column.probe is not None}
    done = {e.key: e.stale for e in entries if e.status == "done" and e.column not in probes}
    return TableView(
        ref=runs.table_ref(plan),
        name=plan.name,
        profile=plan.options.profile.name,
        title=plan.table.title,
        source=plan.table.source,
        caption=(*grid.caption[1:], *(line.removeprefix("* ") for line in remarks(judged))),
        tallies=tuple(_tallies(judged)),
        grids=tuple(views),
        lists=tuple(_lists(judged)),
        notes=tuple(notes),
        folded=tuple((title, tuple(lines)) for title, lines in folded.items() if lines),
        runs=len(done),
        stale=sum(done.values()),
    )


def _context(plan: Plan, column: ColumnPlan) -> ColumnContext:
    """Return a column's data; of data that are not prepared nothing is known."""
    if column.prepared:
        return report_collect.column_context(plan, column)
    title = column.column.title or column.asked.title
    return ColumnContext(
        column=column.column, title=title, dataset=column.used.name, split=column.split
    )


def _tallies(judged: TableVerdict) -> Iterator[Tally]:
    kinds = (
        ("published numbers", [v.word for _, v in judged.numbers]),
        (f"gains of {judged.plan.table.subject}", [e.word for e in judged.effects]),
        ("claims", [c.word for c in judged.claims]),
    )
    return (tally(what, words) for what, words in kinds if words)


def _grids(plan: Plan, grid: Grid, verdicts: Verdicts, *, sheet_title: str) -> Iterator[GridView]:
    for number, (title, part) in enumerate(grid.tables):
        yield GridView(
            ref=f"{runs.table_ref(plan)}.{number}",
            title=title or sheet_title,
            heads=tuple(part.heads),
            columns=tuple(_column(column, part, verdicts) for column in part.columns),
            groups=tuple(
                GroupView(
                    title=group.title,
                    rows=tuple(
                        RowView(
                            words=tuple(part.words(row)),
                            cells=tuple(
                                _cell(
                                    runs.cell_ref(plan, row.row.name, column.name),
                                    row.cells[column.name],
                                    column,
                                    verdicts.get((row.row.name, column.name)),
                                )
                                for column in part.columns
                            ),
                        )
                        for row in group.rows
                    ),
                )
                for group in part.groups
            ),
            constants=tuple(
                ConstantView(
                    words=tuple(part.words(row)),
                    texts=tuple(row.text(c, "ours") or NOTHING for c in part.columns),
                )
                for row in part.computed
            ),
        )


def _column(column: Column, grid: Grid, verdicts: Verdicts) -> ColumnView:
    judged = any((row.row.name, column.name) in verdicts for row in grid.rows)
    context = column.context
    n = None if context.n is None else f"{context.n} images"
    data = f"data {context.data[:12]}" if context.data else ""
    split = "" if context.column.cost is not None else f"split {context.split}"
    facts = [context.dataset, *(fact for fact in (n, split, data) if fact)]
    if context.phantom:
        facts.append("generated images")
    return ColumnView(
        name=column.name,
        heading=column.heading,
        parts=(*column.parts, *(("verdict",) if judged else ())),
        probe=context.column.probe is not None,
        detail=", ".join(facts),
    )


def _cell(ref: str, cell: Cell, column: Column, verdict: Verdict | None) -> CellView:
    digits, factor = column.metric.digits, column.metric.factor
    return CellView(
        ref=ref,
        paper=cell.paper,
        paper_value=cell.printed,
        number=cell.number,
        value=cell.value,
        change=cell.change,
        difference=cell.difference,
        remarks=", ".join(cell.remarks),
        marks=" ".join(cell.marks),
        rank=cell.rank or "",
        chip=None if verdict is None else chip(verdict.word, verdict.text, verdict.reason),
        seeds=tuple(
            SeedView(
                seed=entry.seed,
                text=entry.status if entry.value is None else fixed(factor * entry.value, digits),
                stale=entry.stale,
            )
            for entry in cell.entries
        ),
        opens=bool(cell.entries or verdict is not None or cell.costing is not None),
    )


def _lists(judged: TableVerdict) -> Iterator[LinesView]:
    if judged.effects:
        subject = judged.plan.table.subject
        yield LinesView(
            title=f"Gains of {subject} over the other rows",
            heads=("Verdict", "Over", "Column", "Published", "Ours", "Why", "At the scale of"),
            rows=tuple((chip(e.word, e.word), _effect(e)) for e in judged.effects),
        )
    if judged.claims:
        yield LinesView(
            title="Claims",
            heads=("Verdict", "Claim", "Where", "Why", "At the scale of"),
            rows=tuple(
                (
                    chip(c.word, c.word),
                    (
                        c.claim.text,
                        c.claim.source,
                        "; ".join((c.reason, *c.parts)),
                        "; ".join(c.scale) or "the paper",
                    ),
                )
                for c in judged.claims
            ),
        )


def _effect(effect: Effect) -> tuple[str, ...]:
    ours = NOTHING
    if effect.gain is not None and effect.interval is not None:
        ours = f"{signed(effect.gain, 2)} {bracket(effect.interval, 2)}"
    published = NOTHING if effect.published is None else signed(effect.published, 2)
    scale = "; ".join(effect.scale) or "the paper"
    return (effect.rival, effect.column, published, ours, effect.reason, scale)

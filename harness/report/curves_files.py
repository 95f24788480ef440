"""Files of what stages measured by epoch: Markdown, LaTeX, JSON and a PNG per data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import files
from harness.plan.plan import Plan
from harness.report import curves, fold, json_files, markdown, style, tex_page
from harness.report.curves import Line, Page, Section
from harness.report.looks import Look
from harness.report.style import Style
from harness.report.table_style import FULL, TableStyle
from harness.report.values import NOTHING, Context
from harness.spec.table import Curve
from harness.stats import intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 1.6
"""Height of one panel."""

ACROSS = 4
"""Panels beside one another."""

TITLE = 24
"""Characters per line of a panel's title."""


def write(
    plan: Plan,
    context: Context,
    folder: Path,
    formats: Sequence[str],
    tell: Callable[[str], None],
    *,
    shown: TableStyle = FULL,
) -> list[Path]:
    """Write a table's curves in the table's formats and as PNG; return the paths.

    Args:
        plan: the table's plan.
        context: how the table is made.
        folder: folder of the files.
        formats: keys of ``harness.report.write.TABLE_FORMATS``; those without a form here (CSV)
            are passed over.
        tell: receives a line that names the rows left out because they have no finished stage.
        shown: how texts are shown.

    Raises:
        UserError: the folder cannot be written.
    """
    paths = []
    for page in curves.pages(plan, context):
        if page.missing:
            tell(f"{page.name} leaves out rows without a finished run: {', '.join(page.missing)}.")
        if not page.sections:
            continue
        for name in (n for n in formats if n in RENDERERS):
            for file, text in RENDERERS[name](page, shown).items():
                paths.append(folder / file)
                files.write_text(paths[-1], text)
        paths.append(folder / f"{page.name}.png")
        files.write_bytes(paths[-1], png(page))
    return paths


def to_markdown(page: Page, shown: TableStyle = FULL) -> str:
    """Return the page as GitHub Markdown."""
    title, *rest = page.caption
    lines = [f"# {markdown.escape(title)}", "", markdown.escape(" ".join(rest)), ""]
    for section in page.sections:
        heads = [page.heading, *(c.title for c in section.curves)]
        lines += [f"## {markdown.escape(section.title)}", ""]
        lines += [_row(heads), _row([":---"] + ["---:"] * len(section.curves), escape=False)]
        lines += [_row(_texts(section, line, shown)) for line in section.lines]
        lines.append("")
    lines += [f"- **{markdown.escape(n.label)}:** {markdown.escape(n.text)}" for n in page.notes]
    return "\n".join(lines) + "\n"


def _row(texts: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(markdown.escape(t) if escape else t for t in texts)} |"


def _texts(section: Section, line: Line, shown: TableStyle) -> list[str]:
    texts = (curves.cell(c, line, spread=shown.spread != "none") for c in section.curves)
    return [line.label, *(text or NOTHING for text in texts)]


def to_latex(page: Page, shown: TableStyle) -> Mapping[str, str]:
    """Return the LaTeX files by name: a table per phase."""
    sections = [
        tex_page.Section(
            title=section.title,
            table=tex_page.table(
                [page.heading, *(c.title for c in section.curves)],
                [_texts(section, line, shown) for line in section.lines],
                "l" + "r" * len(section.curves),
            ),
        )
        for section in page.sections
    ]
    comments = (f"Made by: {page.context.command}",)
    return tex_page.render(
        tex_page.Page(
            name=page.name,
            caption=page.caption,
            sections=tuple(sections),
            notes=page.notes,
            comments=comments,
        ),
        shown,
    )


def to_json(page: Page) -> str:
    """Return the page as JSON: every figure of every epoch and seed, unrounded."""
    content: dict[str, Any] = {
        "name": page.name,
        "caption": " ".join(page.caption),
        "units": "figure times factor",
        "dataset": page.dataset,
        "data": page.data,
        "seeds": list(page.context.seeds),
        "commit": page.context.commit,
        "command": page.context.command,
        "sections": [_section_values(section) for section in page.sections],
        "notes": [{"label": n.label, "text": n.text} for n in page.notes],
    }
    return json_files.text(content)


def _section_values(section: Section) -> dict[str, Any]:
    return {
        "phase": section.phase,
        "rows": [
            {
                "row": line.row,
                "label": line.label,
                "figures": {c.name: values for c in section.curves if (values := _figure(c, line))},
                "runs": [
                    {"seed": s.seed, "key": s.key, "commit": s.commit, "history": dict(s.values)}
                    for s in line.series
                ],
            }
            for line in section.lines
        ],
    }


def _figure(curve: Curve, line: Line) -> dict[str, Any]:
    """Return a figure at the last epoch in display units; empty where the row has none."""
    values = [curve.factor * value for value in line.last(curve.name)]
    if not values:
        return {}
    return {
        "title": curve.title,
        "factor": curve.factor,
        "mean": intervals.mean(values),
        "sd": intervals.sd(values) if len(values) > 1 else None,
        "chance": curves.chance(curve, line),
        "seeds": values,
    }


def png(page: Page) -> bytes:
    """Draw a page: panels per section, one for each figure, with a line for each row.

    The titles of sections stay inside, since one picture shows several; the caption does not.
    """
    how = Style(width=style.PAGE)
    with style.applied(how):
        return style.save(_drawn(page, how), "png")


def _drawn(page: Page, how: Style) -> Figure:
    heights = [math.ceil(len(section.curves) / ACROSS) for section in page.sections]
    ratios = [
        INCHES * height + 0.2 + 0.17 * _legend_lines(s)
        for height, s in zip(heights, page.sections, strict=True)
    ]
    figure = style.new(how, sum(ratios))
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=ratios)
    for section, part, height in zip(page.sections, parts[:, 0], heights, strict=True):
        axes = list(part.subplots(height, ACROSS, squeeze=False).flat)
        for curve, axis in zip(section.curves, axes, strict=False):
            _panel(axis, curve, section, page.looks)
        for axis in axes[len(section.curves) :]:
            axis.set_axis_off()
        handles, _ = axes[0].get_legend_handles_labels()
        folded = fold.all_folded(
            [line.label for line in section.lines], 20, 1, names=[n.row for n in section.lines]
        )
        part.legend(handles, folded, loc="outside lower center", ncols=ACROSS, handlelength=2.6)
        part.suptitle(fold.folded(section.title, 90, 1), fontsize=8)
    return figure


def _legend_lines(section: Section) -> int:
    return math.ceil(len(section.lines) / ACROSS)


def _panel(axis: Axes, curve: Curve, section: Section, looks: Mapping[str, Look]) -> None:
    """Draw one figure of all rows over the epochs: mean, lowest and highest seed, and chance."""
    for line in section.lines:
        look = looks[line.row]
        points = line.drawn(curve.name)
        epochs = [epoch + 1 for epoch, _ in points]
        means = [curve.factor * intervals.mean(values) for _, values in points]
        # Rows without the figure have an empty line, so that all panels share one legend.
        axis.plot(epochs, means, label=f"row {line.row}", color=look.colour, linestyle=look.dashes)
        if points and len(line.series) > 1:
            # Not the standard deviation, which would leave the range of shares and areas.
            low = [curve.factor * min(values) for _, values in points]
            high = [curve.factor * max(values) for _, values in points]
            axis.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)
    by_chance = [c for line in section.lines if (c := curves.chance(curve, line)) is not None]
    if by_chance:
        axis.axhline(intervals.mean(by_chance), color="black", linestyle=":", linewidth=1)
    axis.set_title(fold.folded(curve.title, TITLE, 3), fontsize=7)
    axis.set_xlabel("epoch", fontsize=7)
    axis.grid(visible=True)


RENDERERS: Mapping[str, Callable[[Page, TableStyle], Mapping[str, str]]] = {
    "md": lambda page, shown: {f"{page.name}.md": to_markdown(page, shown)},
    "tex": to_latex,
    "json": lambda page, _: {f"{page.name}.json": to_json(page)},
}
"""Renderers of a page as files by name, by file extension."""

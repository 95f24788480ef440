"""The grid as LaTeX with booktabs; everything that is text is escaped."""

from __future__ import annotations

import re

from harness.report import numbers
from harness.report.grid import Cell, Grid
from harness.spec import Metric

ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "†": r"$\dagger$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "λ": r"$\lambda$",
}
PACKAGES = ("booktabs", "graphicx")


def escape(text: str) -> str:
    """Escape LaTeX's special characters; others outside printable ASCII become "?"."""
    flat = " ".join(text.split())
    return "".join(ESCAPES.get(c) or (c if re.match(r"[ -~]", c) else "?") for c in flat)


def render(grid: Grid) -> str:
    """Return a ``table`` environment; the packages that it needs are named in a comment."""
    columns = "lll" + "rrr" * len(grid.columns)
    tops = [rf"\multicolumn{{3}}{{c}}{{{escape(c.title)}}}" for c in grid.columns]
    rules = " ".join(rf"\cmidrule(lr){{{4 + 3 * i}-{6 + 3 * i}}}" for i in range(len(tops)))
    lines = [
        "% needs: " + ", ".join("\\usepackage{" + p + "}" for p in PACKAGES),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(grid.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^a-z0-9]+', '-', grid.context.name.lower())}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf" & & & {' & '.join(tops)} \\",
        rules,
        "Type & Method & Backbone" + r" & paper & ours & $\Delta$" * len(tops) + r" \\",
        r"\midrule",
    ]
    lines += _body(grid)
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip\footnotesize\raggedright"]
    lines += [escape(note.replace("`", "'")) + r"\par" for note in grid.notes]
    lines += [r"\end{table}", ""]
    return "\n".join(lines)


def _body(grid: Grid) -> list[str]:
    lines: list[str] = []
    group: str | None = None
    for line in grid.lines:
        if group is not None and line.row.group != group:
            lines.append(r"\midrule")
        shown = line.row.group if line.row.group != group else ""
        group = line.row.group
        cells = [escape(shown), escape(line.row.label), escape(line.row.backbone)]
        for cell, column in zip(line.cells, grid.columns, strict=True):
            cells += _cell(cell, column.metric)
        lines.append(" & ".join(cells) + r" \\")
    majority = [r"\midrule", r" & \emph{Majority class} & "]
    for column in grid.columns:
        share = column.majority * column.metric.factor
        text = f"{share:.{column.metric.digits}f}" if column.metric.name == "accuracy" else "--"
        majority[1] += rf" & & \emph{{{text}}} & "
    majority[1] += r" \\"
    return lines + majority


def _cell(cell: Cell, metric: Metric) -> list[str]:
    text = escape(numbers.ours(cell, metric))
    if cell.rank == "best":
        text = rf"\textbf{{{text}}}"
    elif cell.rank == "second":
        text = rf"\underline{{{text}}}"
    return [
        escape(numbers.printed(cell, metric)),
        text + escape(numbers.remarks(cell)).replace("  ", " "),
        escape(numbers.difference(cell, metric)),
    ]


def document(table: str) -> str:
    """Wrap a rendered table into a document that compiles on its own."""
    packages = "\n".join("\\usepackage{" + p + "}" for p in PACKAGES)
    return (
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n"
        f"{packages}\n\\begin{{document}}\n{table}\\end{{document}}\n"
    )

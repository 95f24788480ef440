"""Names that are LaTeX, HTML, Markdown or codes of a terminal, in every output of every report."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness.audit import page as audit_page
from harness.errors import UNSEEN
from harness.evaluate import derived
from harness.plan import plan
from harness.plan.options import Options
from harness.report import (
    classes,
    classes_page,
    curves_files,
    json_files,
    latex,
    latex_paper,
    terminal,
)
from harness.report.curves import Line, Page, Section, Series
from harness.report.table_style import TableStyle
from harness.report.values import Grid, Note
from harness.report.write import FORMATS
from harness.spec import profiles
from harness.spec.claim import Claim, Margin, Ordering
from harness.spec.table import Column, Curve, Row, Table
from harness.sweep import report as sweep_report
from harness.sweep.values import Line as Trial
from harness.sweep.values import Sheet
from harness.verdict import latex as verdict_latex
from harness.verdict import write as verdict_write
from harness.verdict.table import judge_plan
from tests.report import typesetting
from tests.report_cases import CONTEXT, column, entry, grid, row

HOSTILE = {
    "latex": r"\input{/etc/passwd} & \\ % $x_1^2$ #1 {~} \end{tabular} ^^4d --- ''",
    "html": "<script>alert(1)</script><img src=x onerror='alert(1)'>&lt;!-- --> </td>",
    "markdown": "**b** | [x](javascript:alert(1)) `c` ~~s~~ ![i](u) \\| <b> $y$\n\n# H\n- l",
    "terminal": "\x1b[31mred\x1b]0;title\x07 \x9b2J \u202egnp\u2066 \x00\r\nnext\x7f\u2028z",
    "no text": "\udc80 \ud800 \ufffe \U000e0041 \u200b",
    "empty": "",
    "long": "x" * 120,
}
"""Names by what would obey them."""

PAPER = TableStyle(name="paper")
ALIGNED = TableStyle(name="paper", siunitx=True, intervals="none")


def _grid(name: str) -> Grid:
    context = column(title=name, remarks=(name,))
    rows = [
        row("a", {"btmd": 90.0}, label=name, group=name, backbone=name, modules=(name,)),
        row("b", label=f"{name}2", group=name),
        row("c", label="C"),
    ]
    entries = [
        *(entry("a", 0.9 + s / 100, seed=s, key=f"a{s}" * 32) for s in (0, 1)),
        *(entry("b", 0.5 + s / 100, seed=s, key=f"b{s}" * 32) for s in (0, 1)),
        *(entry("c", None, seed=s, error=f"Error: {name}") for s in (0, 1)),
    ]
    laid = grid(
        rows, entries, columns=(context,), seeds=(0, 1), references=("a",), source=name,
        command=f"harness run {name}", overrides=(name,), device=name,
    )  # fmt: skip
    (shown,) = laid.columns
    return replace(
        laid,
        title=name,
        caption=(f"{name}.", *laid.caption),
        heading=name,
        modules=(name,),
        columns=(replace(shown, heading=name),),
        notes=(*laid.notes, Note(label=name, text=name)),
    )


def _tables(name: str) -> Mapping[str, str]:
    laid = _grid(name)
    texts = {f"table.{ending}": FORMATS[ending](laid) for ending in ("md", "tex", "json", "csv")}
    stream = io.StringIO()
    terminal.show(laid, Console(file=stream, width=400, markup=False, highlight=False))
    paper = {f"paper-{n}": t for n, t in latex_paper.render(laid, PAPER).items()}
    aligned = {f"si-{n}": t for n, t in latex_paper.render(laid, ALIGNED).items()}
    assert latex.render(laid) == texts["table.tex"]
    return {**texts, **paper, **aligned, "screen.txt": stream.getvalue()}  # type: ignore[dict-item]


def _curves(name: str) -> Mapping[str, str]:
    series = (Series(seed=0, key="k" * 64, commit="c", values={"x": (0.5, 0.6)}),)
    line = Line(row=name, label=name, series=series)
    section = Section(
        phase="pretrain", title=name, curves=(Curve(name="x", title=name),), lines=(line,)
    )
    made = Page(
        name="curves", caption=(name,), heading=name, sections=(section,), missing=(),
        notes=(Note(label=name, text=name),), context=replace(CONTEXT, command=name),
        dataset=name, data="d" * 64,
    )  # fmt: skip
    written: dict[str, str] = {}
    for ending, render in curves_files.RENDERERS.items():
        written.update(render(made, TableStyle()))
        if ending == "tex":
            written.update({f"paper-{n}": t for n, t in render(made, PAPER).items()})
    return written


def _sweep(name: str) -> Mapping[str, str]:
    trial = Trial(
        number=0, state="complete", values={name: name}, accuracy=0.5, macs=1e12, epochs=1,
        key="k" * 64,
    )  # fmt: skip
    failed = replace(trial, number=1, state="fail", error=name)
    sheet = Sheet(
        context=replace(CONTEXT, command=name, name="sweep"), title=name, study=name, dataset=name,
        data="d" * 64, n=100, kept=name, sampler=name, pruner=name, dimensions=(name,),
        levels={name: None}, heatmap=None, trials=(trial, failed), importances={name: 0.5},
        importance_error=name, settings=(name,), notes=(name,),
    )  # fmt: skip
    written = {f"sweep.{e}": render(sheet) for e, render in sweep_report.FORMATS.items()}
    written.update(sweep_report.latex(sheet, TableStyle()))
    return {**written, **{f"paper-{n}": t for n, t in sweep_report.latex(sheet, PAPER).items()}}


def _audit(name: str) -> Mapping[str, str]:
    section = audit_page.Section(title=name, text=(name,), head=(name, name), rows=((name, name),))
    made = audit_page.Page(title=name, command=f"harness {name}", lead=(name,), sections=(section,))
    paper = audit_page.to_latex(made, "audit", PAPER)
    return {
        "audit.md": audit_page.to_markdown(made),
        **audit_page.to_latex(made, "audit"),
        **{f"paper-{file}": text for file, text in paper.items()},
    }


def _classes(name: str) -> Mapping[str, str]:
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    labels = np.array([0, 1, 1])
    run = classes.RunClasses(
        seed=0, key="k" * 64, commit="c", epoch=0, n=3, collapsed=True,
        confusion=np.array([[1, 0], [1, 1]]), classes=derived.by_class(chances, labels),
        metrics=dict.fromkeys(derived.known(), 0.5), bins=(),
    )  # fmt: skip
    table = Table(
        title=name, source="", rows=(row("a", label=name),), columns=(Column(dataset="btmd"),)
    )
    rows = (classes.RowClasses(row=table.rows[0], label=name, runs=(run,), lacking={1: name}),)
    used: Any = SimpleNamespace(
        used=SimpleNamespace(name=name), phantom=False, split="paper",
        manifest=SimpleNamespace(fingerprint="d" * 64),
    )  # fmt: skip
    sets = [
        classes.DatasetClasses(name=name, column=used, title=name, classes=(name, "y"), rows=rows)
    ]
    context = replace(CONTEXT, command=name)
    paper = classes_page.latex(table, sets, context, PAPER)
    return {
        "classes.md": classes_page.render(table, sets, context, []),
        "classes.json": json_files.text(classes_page.to_json(table, sets, context)),
        **classes_page.latex(table, sets, context, TableStyle()),
        **{f"paper-{file}": text for file, text in paper.items()},
    }


def _verdict(name: str) -> Mapping[str, str]:
    rows = (
        Row(name="a", label=name, stages=None, printed={"btmd": "90.0"}),
        Row(name="b", label="B", stages=None, printed={"btmd": "80.0"}),
    )
    claim = Claim(
        name="c", text=name, source=name,
        decided_by=(Ordering(row="a", than="b", column="btmd"),),
    )  # fmt: skip
    table = Table(
        title=name, source=name, rows=rows, columns=(Column(dataset="btmd"),), subject="a",
        margins={"btmd": Margin(value=1.0, source=name)}, claims=(claim,),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder)
        options = Options(profile=profiles.SMOKE, unprepared=True, data=nothing, runs=nothing)
        judged = judge_plan(plan.make("own", table, options))
    context = replace(CONTEXT, command=name)
    shown = verdict_write.view(judged, context)
    paper = verdict_latex.render(shown, context, "verdict", PAPER)
    return {
        "verdict.md": verdict_write.markdown(judged, context),
        "verdict.json": json_files.text(verdict_write.table_to_json(judged, context)),
        **verdict_latex.render(shown, context, "verdict", TableStyle()),
        **{f"paper-{file}": text for file, text in paper.items()},
    }


OUTPUTS: Mapping[str, Callable[[str], Mapping[str, str]]] = {
    "tables": _tables, "curves": _curves, "sweep": _sweep, "audit": _audit, "classes": _classes,
    "verdict": _verdict,
}  # fmt: skip


def _obeyed(text: str) -> list[str]:
    return sorted({c for c in text if unicodedata.category(c) in UNSEEN and c != "\n"})


def _is_markdown(text: str) -> None:
    bare = re.sub(r"\\[\\`*_{}\[\]|~#$^]", "", text)
    assert not re.search(r"<(?!/?(?:sup|ins)>)", bare)
    for payload in ("**b**", "](javascript", "`c`", "~~s~~", "![i]", "$y$", "\n# H", "\n- l"):
        assert payload not in bare
    previous = 0
    for line in bare.splitlines():
        bars = line.count("|")
        assert not (previous and bars) or bars == previous, "a row has as many cells as the others"
        previous = bars


def _is_latex(text: str) -> None:
    shown = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"\input" not in shown
    assert not re.search(r"(?<!\\)#|\^\^", shown)
    begun, ended = (re.findall(rf"\\{word}\{{(\w+\*?)\}}", shown) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    bare = shown.replace(r"\{", "").replace(r"\}", "").replace(r"\\", "")
    assert bare.count("{") == bare.count("}")


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [t for pair in value.items() for v in pair for t in _texts(v)]
    return [t for v in value for t in _texts(v)] if isinstance(value, list) else []


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("output", OUTPUTS)
def test_names_are_shown_and_never_obeyed(output: str, kind: str) -> None:
    name = HOSTILE[kind]
    written = OUTPUTS[output](name)
    assert {Path(file).suffix for file in written} >= {".md", ".tex"}
    for file, text in written.items():
        assert not _obeyed(text), file
        text.encode()  # lone surrogates could not be written
        if file.endswith(".md"):
            _is_markdown(text)
        elif file.endswith(".tex"):
            _is_latex(text)
        elif file.endswith(".json"):
            assert any(name in found for found in _texts(json.loads(text)))
        elif file.endswith(".csv"):
            assert len({len(line) for line in csv.reader(io.StringIO(text))}) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("pdflatex")
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_names_are_typeset_within_the_width(kind: str, tmp_path: Path) -> None:
    text = ""
    for make in OUTPUTS.values():
        written = {n: t for n, t in make(HOSTILE[kind]).items() if n.endswith(".tex")}
        bare = {n: t for n, t in written.items() if n.startswith(("paper-", "si-"))}
        text += "\\clearpage\n".join(t for n, t in written.items() if n not in bare)
        text += "\\clearpage\n" + typesetting.floated(bare)
    ran = typesetting.compile_document(tmp_path, text, two_columns=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert typesetting.faults(ran) == []

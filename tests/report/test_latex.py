"""LaTeX: every letter is typeset, tables fit two columns, the two styles, spread and columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from harness.errors import UserError
from harness.report import check_text, data, latex, latex_paper, markdown, tex, tex_page, tex_table
from harness.report.check_table import Table
from harness.report.table_style import TableStyle
from harness.report.values import Grid
from harness.report.write import write
from tests.report import shipped, typesetting
from tests.report_cases import entry, every_kind, grid, row

GOLDEN = Path(__file__).parents[1] / "golden"
PAPER = TableStyle(name="paper")
SEPARATE = (("a", 0.999), ("b", 0.9), ("c", 0.09))
"""Rows that tests tell apart."""


def _separate(style: TableStyle = PAPER, **changes: str) -> Grid:
    rows = [row(name, {"btmd": 90.0}) for name, _ in SEPARATE]
    entries = [
        entry(name, value + seed / 2000, seed=seed, key=f"{name}{seed}" * 32)
        for name, value in SEPARATE
        for seed in (0, 1, 2)
    ]
    return grid(rows, entries, seeds=(0, 1, 2), style=style, **changes)


def _bare(text: str) -> str:
    """Return a file without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("%"))


@pytest.mark.slow
@pytest.mark.usefixtures("pdflatex")
def test_every_letter_is_typeset(tmp_path: Path) -> None:
    """All letters up to U+024F and all symbols that are let through or replaced, one by one."""
    letters = {chr(code) for code in range(0x21, 0x250)} | set(tex._TEXTS)
    passed = sorted(c for c in letters if c.isprintable())
    assert set("ĦħĸĿŀŉŦŧſéßŒ") <= set(passed)
    assert not any("[U+" in tex.escape(c) for c in passed if c <= tex.LAST)
    text = "\n\n".join(f"{tex.escape(c)} {tex.escape(c * 2)}" for c in passed)
    bold = "\n\n".join(rf"\textbf{{{tex.escape(c)}}}\textit{{{tex.escape(c)}}}" for c in passed)
    lost = r"\tracinglostchars=2 "
    ran = typesetting.compile_document(tmp_path, f"{lost}{text}\n\n{bold}\n")
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert typesetting.faults(ran) == []


def _shipped(style: TableStyle) -> Iterator[Grid]:
    for name in shipped.tables():
        yield from shipped.grids(name, style)
    yield every_kind()


@pytest.mark.slow
@pytest.mark.usefixtures("pdflatex")
@pytest.mark.parametrize(
    "style",
    [TableStyle(), TableStyle(intervals="none"), PAPER, TableStyle(name="paper", intervals="ci"),
     TableStyle(name="paper", siunitx=True),
     TableStyle(name="paper", siunitx=True, intervals="none")],
    ids=repr,
)  # fmt: skip
def test_shipped_tables_fit_two_columns(style: TableStyle, tmp_path: Path) -> None:
    text = ""
    for laid in _shipped(style):
        if style.name == "full":
            text += latex.render(laid) + "\\clearpage\n"
        else:
            text += typesetting.floated(latex_paper.render(laid, style))
    assert text.count(r"\begin{tabular}") > 10
    ran = typesetting.compile_document(tmp_path, text, two_columns=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert typesetting.faults(ran) == []


@pytest.mark.slow
@pytest.mark.usefixtures("pdflatex")
def test_a_table_of_any_width_and_height_fits(tmp_path: Path) -> None:
    """Long names, many columns, many rows: wrapped, divided, broken within words."""
    long = "a_very.long/name-of-a_method_that-nobody=breaks" * 3
    heads = ["Method", *(f"metric {i}, {long}" for i in range(30))]
    rows = [[f"{i} {long}", *(f"{i}.{i:02} ± 0.12 [81.23, 83.77]" for _ in heads[1:])]
            for i in range(40)]  # fmt: skip
    table = tex_page.table(heads, rows, "l" + "r" * 30)
    made = tex_page.Page(name="x", caption=("Wide.",), sections=(tex_page.Section(table=table),))
    (text,) = tex_page.render(made, TableStyle()).values()
    for i in range(40):  # no number is lost, however the table is divided
        assert text.count(rf"{i}.{i:02} $\pm$ 0.12") == 30
    for style in (TableStyle(), PAPER):
        files = tex_page.render(made, style)
        text = files["x.tex"] if style.name == "full" else typesetting.floated(files)
        text = text.replace(r"\begin{table", r"\clearpage\begin{table")
        ran = typesetting.compile_document(tmp_path, text, two_columns=True)
        assert ran.returncode == 0, ran.stdout[-2000:]
        assert typesetting.faults(ran) == []


@pytest.mark.parametrize("siunitx", [False, True])
def test_the_bare_tabular_has_no_provenance(siunitx: bool) -> None:
    laid = _separate()
    files = latex_paper.render(laid, TableStyle(name="paper", siunitx=siunitx))
    assert list(files) == ["small.tex", "small-caption.tex"]
    shown = _bare(files["small.tex"])
    assert shown.startswith(r"\begin{tabular}")
    assert shown.endswith(r"\end{tabular}")
    caption = _bare(files["small-caption.tex"])
    assert caption.startswith(r"\caption{A table.")
    assert caption.endswith(r"\label{tab:small}")
    keys = {e.key[:12] for r in laid.rows for e in r.cells["btmd"].entries}
    for hidden in (*keys, "harness", laid.context.commit[:7], "caption"):
        assert hidden not in shown
        assert hidden == "caption" or hidden not in caption
    comment = files["small.tex"]
    for said in ("harness run small", laid.context.commit[:12], "small.json"):
        assert said in comment


def test_best_and_second_are_marked_where_tests_tell_them_apart() -> None:
    text = latex_paper.render(_separate(), PAPER)["small.tex"]
    assert r"\textbf{99.95} $\pm$\,0.05" in text
    assert r"\underline{90.05} $\pm$\,0.05" in text
    caption = latex_paper.render(_separate(), PAPER)["small-caption.tex"]
    assert "Bold: tests tell it from every other row." in caption
    aligned = latex_paper.render(_separate(), TableStyle(name="paper", siunitx=True))["small.tex"]
    assert r"\bfseries 99.95{" in aligned
    assert r"90.05{\llap{\underline{\phantom{90.05}}}" in aligned
    assert "S[table-format=2.2," in aligned


def test_open_ranks_are_superscripts() -> None:
    files = latex_paper.render(every_kind(), PAPER)
    text = _bare(files["small.tex"])
    assert r"\textsuperscript{1--2}" in text
    assert r"110.66]\textsuperscript{c}" in text
    assert "rank" not in text
    assert r"\dag" not in text
    caption = files["small-caption.tex"]
    assert "Superscripts: the ranks that the tests leave open." in caption
    assert "Mark c: not clearly better" in caption
    assert "Mark a" not in caption  # an error of a run


@pytest.mark.parametrize(
    ("spread", "text"),
    [("none", "99.95"), ("sd", "99.95 ± 0.05"), ("ci", "99.95 ± 0.05 [99.83, 100.07]")],
)
def test_the_spread_behind_means(spread: str, text: str) -> None:
    laid = _separate(TableStyle(intervals=spread))  # type: ignore[arg-type]
    assert laid.rows[0].cells["btmd"].number == text
    page = markdown.render(laid)
    assert ("standard deviation" in page) == (spread != "none")
    assert ("Student" in page) == (spread == "ci")


def test_columns_and_parts_are_chosen_and_the_json_is_whole(tmp_path: Path) -> None:
    whole = every_kind()
    style = TableStyle(columns=("btmd", "ours"))
    texts = next(shipped.grids("table7", style))
    assert [column.parts for column in texts.columns] == [("ours",)]
    rows = [row("a", {"btmd": 90.0})]
    shown = grid(rows, [entry("a", 0.9)], style=TableStyle(columns=("paper", "ours")))
    assert shown.columns[0].parts == ("paper", "ours")
    paths = write(whole, tmp_path, ("md", "tex", "json", "csv"), texts=shown, style=PAPER)
    assert [p.name for p in paths] == [
        "small.md", "small.tex", "small-caption.tex", "small.json", "small.csv",
    ]  # fmt: skip
    assert "Δ" not in (tmp_path / "small.md").read_text()
    content = json.loads((tmp_path / "small.json").read_text())
    shown_as = content.pop("texts")
    assert (shown_as["name"], shown_as["intervals"]) == ("paper", "sd")
    assert content == json.loads((GOLDEN / "small.json").read_text())
    with pytest.raises(UserError, match="No column 'bmtd'.*Did you mean 'btmd'"):
        TableStyle(columns=("bmtd",)).check(["btmd"])


def test_hidden_columns_leave_no_trace_in_texts() -> None:
    (laid,) = shipped.grids("lesions", TableStyle(columns=("busi",)))
    assert [column.name for column in laid.columns] == ["busi"]
    for text in (markdown.render(laid), latex.render(laid)):
        assert "HAM10000" not in text


def test_tables_that_reproduce_nothing_speak_of_no_paper() -> None:
    rows = [row("a"), row("b")]
    entries = [entry("a", 0.9), entry("b", 0.8)]
    changed = {"profile": "laptop", "scaled_down": True, "overrides": ("x=1",)}
    own = grid(rows, entries, source="", **changed)
    caption = str(data.to_json(own)["caption"])
    texts = [markdown.render(own), latex.render(own), caption]
    texts += latex_paper.render(own, PAPER).values()
    for text in texts:
        assert not re.search(r"\bours\b|not a reproduction|not the paper's|the paper: ", text)
    assert "Scaled down (profile laptop)." in caption
    beside = grid([row("a", {"btmd": 90.0})], entries[:1], source="", **changed)
    assert "ours" in markdown.render(beside)
    assert "not a reproduction" in markdown.render(beside)


def test_words_are_wrapped_and_pieces_keep_the_labels() -> None:
    block = tex_page.table(["m", *"abcdef"], [["r", *["x" * 18] * 6]], "l" + "r" * 6)
    pieces = tex_table.tabulars(block, ("normalsize",))
    assert len(pieces) == 2
    for piece in pieces:
        (line,) = [text for text in piece.lines if text.startswith("r & ")]
        assert line.count("x" * 18) == 3


def test_written_pages_pass_their_own_check(tmp_path: Path) -> None:
    """Wrapped, divided, with small tables, of a paper or own: numbers and heads are found again."""
    for laid in _shipped(TableStyle()):
        (page, text, values) = write(laid, tmp_path, ("tex", "md", "json"))
        table = msgspec.json.decode(values.read_bytes(), type=Table)
        assert [*check_text.differences(table, page)] == []
        assert [*check_text.differences(table, text)] == []
        changed = re.sub(
            r"([0-9]{2}\.[0-9]{2}) \$\\pm\$", r"99.99 $\\pm$", page.read_text(), count=1
        )
        page.write_text(changed)
        assert [*check_text.differences(table, page)]

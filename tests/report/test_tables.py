"""Tables: what every kind of cell shows, in every format; escaping; golden files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.report import data, latex, markdown, tex
from harness.report.numbers import fixed, signed
from harness.report.terminal import show
from harness.report.values import Entry
from harness.report.write import FORMATS, write
from tests.report import typesetting
from tests.report_cases import BTMD, column, entry, every_kind, grid, row

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["md", "tex", "json", "csv"])
def test_golden_files(name: str) -> None:
    """A change of these files is a change of every published table: say so in the changelog."""
    assert FORMATS[name](every_kind()) == (GOLDEN / f"small.{name}").read_text()


def _cell(values: dict[str, float], name: str, **changes: object) -> object:
    rows = [row(n, {"btmd": 90.0}) for n in values]
    laid = grid(rows, [entry(n, v) for n, v in values.items()], **changes)
    return {r.row.name: r.cells["btmd"] for r in laid.rows}[name]


def test_difference_is_of_unrounded_numbers() -> None:
    cell = grid([row("a", {"btmd": 90.0})], [entry("a", 0.900049)]).rows[0].cells["btmd"]
    assert (cell.number, cell.change) == ("90.00", "0.00")
    assert cell.difference == pytest.approx(0.0049)


def test_seeds_become_mean_sd_and_interval() -> None:
    entries = [entry("a", 0.90), entry("a", 0.92, seed=1)]
    cell = grid([row("a")], entries, seeds=(0, 1)).rows[0].cells["btmd"]
    assert cell.number == "91.00 ± 1.41 [78.29, 103.71]"
    assert cell.interval is not None
    assert cell.interval.high - 91.0 == pytest.approx(12.7062047 * 2**0.5 / 2**0.5)


def _twice(name: str, first: float, second: float | None) -> list[Entry]:
    return [entry(name, first, key=f"{name}0"), entry(name, second, seed=1, key=f"{name}1")]


def test_rows_are_compared_with_the_reference_seed_by_seed() -> None:
    rows = [row(n) for n in ("a", "b", "same", "half")]
    entries = [*_twice("a", 0.90, 0.94), *_twice("b", 0.89, 0.91), *_twice("half", 0.5, None)]
    entries += [replace(e, row="same") for e in _twice("b", 0.89, 0.91)]
    laid = grid(rows, entries, references=("b",), seeds=(0, 1))
    (found,) = laid.comparisons  # the others: the same runs, one seed in common
    assert (found.row.row.name, found.reference.row.name, found.seeds) == ("a", "b", (0, 1))
    # Differences of 1 and 3 points: their mean is 2, its error 1, Student's quantile 12.706.
    assert found.difference == pytest.approx(2)
    assert (found.interval.low, found.interval.high) == pytest.approx((2 - 12.7062, 2 + 12.7062))
    for text in (markdown.render(laid), latex.render(laid)):
        assert "A against B" in text
        assert "2.00" in text
    content = json.loads(FORMATS["json"](laid))
    assert content["comparisons"][0]["difference"] == pytest.approx(2)
    assert "comparisons" not in json.loads(FORMATS["json"](grid(rows[:2], entries[:1])))


def test_a_group_s_own_reference_comes_first() -> None:
    rows = [row("a", group="x"), row("b", group="x"), row("c", group="y"), row("d", group="z")]
    entries = [e for n, v in zip("abcd", (0.1, 0.2, 0.3, 0.4), strict=True)
               for e in _twice(n, v, v + 0.01)]  # fmt: skip
    laid = grid(rows, entries, references=("a", "c"), seeds=(0, 1))
    pairs = [(c.row.row.name, c.reference.row.name) for c in laid.comparisons]
    assert pairs == [("b", "a"), ("d", "a")]
    assert not grid(rows, entries[:6:2], references=("a", "c")).comparisons  # one seed


def test_phantom_columns_have_no_difference() -> None:
    phantom = column(phantom=True)
    laid = grid([row("a", {"btmd": 90.0})], [entry("a", 0.9)], columns=(phantom,))
    assert laid.columns[0].parts == ("paper", "ours")
    assert laid.rows[0].cells["btmd"].difference is None


def test_scaled_down_tables_say_that_they_are_no_reproduction() -> None:
    for scaled in (True, False):
        laid = grid([row("a")], [entry("a", 0.9)], profile="laptop", scaled_down=scaled)
        for text in (markdown.render(laid), latex.render(laid)):
            assert ("not a reproduction" in text) == scaled


def test_entries_that_belong_nowhere_are_refused() -> None:
    with pytest.raises(ValueError, match="row 'b'.*belongs to no cell"):
        grid([row("a")], [entry("b", 0.5)])
    with pytest.raises(ValueError, match="Two entries"):
        grid([row("a")], [entry("a", 0.5), entry("a", 0.5)])
    with pytest.raises(ValueError, match="without stages"):
        grid([row("a", stages=None)], [entry("a", 0.5)])
    with pytest.raises(UserError, match="No metric 'f2'"):
        grid([row("a")], [], columns=(column(column=replace(BTMD, metric="f2")),))


def test_the_json_has_everything_unrounded() -> None:
    content = json.loads(FORMATS["json"](grid([row("a", {"btmd": 90.0})], [entry("a", 1 / 3)])))
    cell = content["rows"][0]["cells"]["btmd"]
    assert cell["value"] == 100 * (1 / 3)
    assert cell["difference"] == 100 * (1 / 3) - 90.0
    assert cell["seeds"][0]["n"] == 1000
    assert content["columns"][0]["better"] == "higher"
    low, high = cell["seeds"][0]["interval_of_images"]
    assert low < 100 / 3 < high


def test_the_frame_has_a_line_a_run() -> None:
    frame = data.frame(every_kind())
    assert len(frame[frame.status == "done"]) == 14
    assert set(frame[frame.row == "simmim"].status) == {"not run"}
    assert frame[frame.row == "majority"].value.tolist() == pytest.approx([25.0, 30.9])


def test_the_terminal_shows_the_same_cells(capsys: pytest.CaptureFixture[str]) -> None:
    show(every_kind())
    shown = capsys.readouterr().out
    for text in (
        "82.50 ± 0.14 [81.23, 83.77]",
        "MAE [19] against MSMAE (λ = 0.1)",
        "not run",
        "failed a b",
        "30.90 ± 0.00 [30.90, 30.90] d (collapsed)",
        "Majority",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(1.005, 2, "1.00"), (-0.001, 2, "0.00"), (-1.25, 1, "−1.2"), (99.999, 2, "100.00")],
)
def test_numbers_as_text(value: float, digits: int, expected: str) -> None:
    assert fixed(value, digits) == expected


def test_signs() -> None:
    assert [signed(v, 2) for v in (0.004, -0.004, 1.0, -1.0)] == ["0.00", "0.00", "+1.00", "−1.00"]


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_markdown_escapes_everything(text: str) -> None:
    escaped = markdown.escape(text)
    assert "\n" not in escaped
    bare = re.sub(r"\\[\\`*_{}\[\]|~#$^]", "", escaped)
    assert not re.search(r"[|`*_<>\[\]$#~^{}\\]", bare)


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_latex_escapes_everything(text: str) -> None:
    escaped = tex.escape(text)
    assert "\n" not in escaped
    known = r"\\(text[a-z]+|ldots|dag|ddag|allowbreak)\{\}|\$\\?[a-zA-Z-]+\$|\\[&%$#_{}]"
    bar = r"\\makebox\[0pt\]\[l\]\{\\raisebox\{[0-9.]+ex\}\{\\kern[0-9.]+em-\}\}"
    bare = re.sub(f"{bar}|{known}", "", escaped)
    bare = bare.replace("{}", "")
    assert not re.search(r"[&%$#_{}~^\\]", bare)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5, unique=True))
def test_any_label_gives_a_table_of_the_same_shape(labels: list[str]) -> None:
    rows = [row(f"r{i}", label=label) for i, label in enumerate(labels)]
    text = markdown.render(grid(rows, []))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + 1 + len(labels) + 1
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(bars) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    nasty = row("nasty", label=r"\input{x} & % $ # _ { } ~ ^ < > | -- ?` é ß λ ≤ 肺 😀 ’ “ …")
    text = latex.render(every_kind()) + latex.render(grid([nasty], [entry("nasty", 0.5)]))
    ran = typesetting.compile_document(tmp_path, text)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000


def test_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    paths = write(every_kind(), tmp_path / "out", ("md", "tex"))
    assert [p.name for p in paths] == ["small.md", "small.tex"]
    with pytest.raises(UserError, match="No format 'pdf'.*csv, json, md, png, svg, tex, txt"):
        write(every_kind(), tmp_path / "none", ("md", "pdf"))
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        write(every_kind(), tmp_path / "file", ("md",))

"""Nothing that a terminal obeys is printed, whatever names and errors hold; any encoding serves."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from harness import console
from harness.progress import Progress
from tests import prepared
from tests.conftest import ROOT, Harness

BAD = "\x1b[31mred\x1b[0m\x9b2J\u202egnp\u2066\x7f\rback\nline\x07\udc80[red]x"
SHOWN = r"\x1b[31mred\x1b[0m\x9b2J\u202egnp\u2066\x7f\rback\nline\x07\udc80[red]x"
OBEYED = {*map(chr, (*range(10), *range(11, 32), *range(127, 160))), "\u202e", "\u2066", "\udc80"}

PLUG_IN = '''
"""A table whose names hold escape sequences."""

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.api import VIT, Column, Recipe, Row, Stage, Table, UserError

BAD = "\\x1b[31mred\\u202e\\r\\n\\x07[red]x"
RECIPE = Recipe(epochs=1, batch_size=8, base_lr=0.1)


@dataclass(frozen=True, kw_only=True)
class Broken:
    key_name: ClassVar[str] = BAD
    backbone: ClassVar[Any] = VIT
    where: str = "build"

    def check(self, *, recipe: Any, images: int, backbones: Any) -> None:
        if self.where == "check":
            raise UserError(f"{BAD} is refused.")

    def build(self, dataset: Any, backbones: Any) -> Any:
        raise FloatingPointError(f"{BAD} broke")


def row(name: str, where: str) -> Row:
    method = Broken(where=where)
    return Row(
        name=name,
        label=f"Label {BAD}",
        stages=(Stage(phase="supervised", method=method, recipe=RECIPE),),
        group=BAD,
    )


EXPERIMENT = Table(
    title=f"Title {BAD}",
    source=BAD,
    rows=(row(BAD, "build"), row("checked", "check")),
    columns=(Column(dataset="phantom-mri", title=BAD),),
    notes=(f"Note {BAD}",),
)
'''
USUAL = ("--profile", "smoke", "--datasets", "phantom-mri")


def _is_clean(*texts: str) -> None:
    for text in texts:
        assert not OBEYED & set(text), ascii(text)


def _calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_bytes())
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


# The entry point says in its own words that the console's package is not installed.
OWN = (ROOT / "harness/console.py", ROOT / "harness/__main__.py")
SOURCES = [p for p in (ROOT / "harness").rglob("*.py") if p not in OWN]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_all_output_leaves_through_the_console(path: Path) -> None:
    calls = _calls(path)
    direct = {"print", "Console", "rich.print", "pprint", "traceback.print_exc", "Text"}
    streams = {
        f"sys.{name}.{do}" for name in ("stdout", "stderr") for do in ("write", "writelines")
    }
    # Texts of rich are composed where cells have several styles, of parts that are escaped.
    allowed = {"Text"} if path.name == "terminal.py" else set()
    assert not calls & (direct | streams) - allowed
    if path.name not in ("own.py", "clean.py"):  # these ask a fixed question
        assert "input" not in calls


def test_composed_texts_of_tables_are_escaped() -> None:
    tree = ast.parse((ROOT / "harness/report/terminal.py").read_bytes())
    made = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Text"]
    assert made
    for call in made:
        for value in (
            v for a in call.args for v in ast.walk(a) if isinstance(v, ast.FormattedValue)
        ):
            assert ast.unparse(value.value).startswith(("shown(", "HEADINGS["))


def test_lines_are_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    console.say(f"a {BAD}", 1)
    console.note(f"b {BAD}")
    console.warn(f"w {BAD}")
    console.warn_of(f"c {BAD}\n  harness data list")
    console.say_json({"name": BAD})
    Progress(plain=True).line(f"d {BAD}")
    out, err = capfd.readouterr()
    assert out.startswith(f"a {SHOWN}\n1\n")
    assert (
        err
        == f"b {SHOWN}\nharness: w {SHOWN}\nharness: c {SHOWN}\n  harness data list\nd {SHOWN}\n"
    )
    _is_clean(out, err)


def test_tables_and_bars_are_escaped_and_take_markup_literally(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    table = Table(title=f"title {BAD}")
    table.add_column(f"column {BAD}")
    table.add_row(f"plain {BAD}")
    table.add_row(console.text(f"text {BAD}"))
    wide = console.wide_console()
    wide.print(table)
    wide.print(f"line {BAD}")
    _is_clean(out.getvalue())
    assert f"text {SHOWN}" in out.getvalue()
    assert out.getvalue().count("[red]x") == 5

    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    err.isatty = lambda: True  # type: ignore[method-assign]
    progress = Progress()
    with progress.stage(f"stage {BAD}", 0, 1):
        progress.line(f"line {BAD}")
        progress.epoch(0, 1, {"loss/total": 1.0})
    assert "\x1b[31m" not in err.getvalue() and "\u202e" not in err.getvalue()
    assert f"line {SHOWN}" in err.getvalue()
    assert r"stage \x1b[31mred" in err.getvalue()


@pytest.mark.slow
def test_names_and_errors_of_a_plug_in_are_escaped_wherever_they_are_printed(
    harness: Harness, own_folder: Path
) -> None:
    prepared.ensure(own_folder / "data")
    Path("bad.py").write_text(PLUG_IN)
    rows = ("--rows", "\x1b[31mred\u202e\r\n\x07[red]x")
    code, out, err = harness("plan", "bad.py", *USUAL)
    assert code == 2 and r"\x1b[31mred\u202e\r\n\x07[red]x is refused" in err
    assert len(err.splitlines()) == 1
    _is_clean(out, err)
    code, out, err = harness("plan", "bad.py", *USUAL, *rows)
    assert code == 0
    _is_clean(out, err)
    code, out, err = harness("run", "bad.py", *USUAL, *rows, "--track", "off")
    assert code == 1 and r"FloatingPointError: \x1b[31mred\u202e" in err
    assert r"Label \x1b[31mred\u202e\r\n\x07[red]x" in out
    _is_clean(out, err)
    for command in (("status",), ("report", "bad.py", *USUAL, *rows), ("clean", "--dry-run")):
        code, out, err = harness(*command)
        assert code in (0, 1)
        _is_clean(out, err)


def _command(*words: str, **environment: str) -> tuple[int, bytes, bytes]:
    ran = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.slow
def test_an_uncaught_error_of_a_plug_in_is_escaped() -> None:
    Path("raises.py").write_text(f"raise FloatingPointError({BAD.replace(chr(0xDC80), '')!r})\n")
    code, out, err = _command("plan", "raises.py", "--traceback")
    assert code == 2 and err.count(b"FloatingPointError: \\x1b[31mred") == 2
    _is_clean(out.decode(), err.decode())


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "cp1252"},
    ],
    ids=lambda value: " ".join(value),
)
def test_any_encoding_of_the_output_serves(environment: dict[str, str]) -> None:
    for words in (("list",), ("cost", "--help")):
        code, out, err = _command(*words, **environment)
        assert code == 0, err
        assert out and b"Traceback" not in err
    if "LANG" in environment:  # such a locale cannot open a file of this name
        code, _, err = _command("list", "tabelle-ü-±", **environment)
        assert code == 2 and b"is no text" in err


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "harness", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 2
    assert ran.stderr == "harness: cannot use: No space left on device.\n"

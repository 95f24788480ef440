"""Random command lines: exit code 0, 1 or 2 and no traceback, whatever the words.

Parsing and planning are real; nothing is trained, counted or decoded.
``HARNESS_FUZZ=2000 pytest tests/cli/test_fuzz.py`` tries as many command lines.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.cli import main as program
from harness.errors import UserError

EXAMPLES = int(os.environ.get("HARNESS_FUZZ", "150"))

NUMBERS = (
    *("0", "1", "2", "-1", "-0", "+3", "1.5", "1e3", "1e308", "1e999", "nan", "inf", "-inf", "٣"),
    *("１２", "1_000", " 4", "0x10", "true", "2147483648", "9" * 20, "9" * 400, "9" * 5000, ""),
)
TEXTS = (
    *("", " ", ",", "=", ".", "..", "/", "~", "~nobody", "~/x", "a,b", "\n", "\x1b[31m", "\u202e"),
    *("\0", "a\0b", "\udc80", "é", "x" * 300, "x" * 5000, "[red]x", "'", '"', "%s", "%", "{}"),
    *("file", "file/below", "closed", "folder", "no/such", "--", "-", "-x", "--no-such", "sqlite:"),
)
NAMES = (
    *("table1", "table8", "sweep_masking", "phantom-mri", "btmd", "messidor2", "msmae", "mae"),
    *("smoke", "laptop", "paper", "last", "best", "md", "csv", "tpe", "grid", "here", "local"),
    *("on", "off", "none", "all", "clean", "given", "accuracy", "thop-macs", "vit_base_patch16"),
    *("linear", "mine.py", "broken.py", "0-3", "0-99999999", "5-1", "0,0", "1-", "-", "0--1"),
)
FIELDS = (
    *("recipe.epochs", "recipe.base_lr", "recipe.betas", "recipe.batch_size", "method.mask_ratio"),
    *("pretrain.method.throw_ratio", "finetune.method.mixup", "finetune.recipe.milestones"),
    *(
        "recipe.clip_norm",
        "recipe.min_lr",
        "method.queue",
        "finetune",
        "recipe",
        "a.b.c.d",
        "recipe.",
    ),
)
words = st.sampled_from(NUMBERS) | st.sampled_from(TEXTS) | st.sampled_from(NAMES) | st.text()
settings_texts = st.builds(
    lambda field, value: f"{field}={value}",
    st.sampled_from(FIELDS),
    words | st.sampled_from(["[" * 5000, "[0.9,1e999]", "[1,2,3]", '{"a":1}', "null", "[true,1]"]),
)


def _options() -> dict[str, list[str]]:
    """Return the options of each command, as the parser knows them; "data add" is a command."""
    found: dict[str, list[str]] = {}

    def collect(parser: argparse.ArgumentParser, name: str) -> None:
        found[name] = [o for action in parser._actions for o in action.option_strings]
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for below, inner in action.choices.items():
                    collect(inner, f"{name} {below}".strip())

    collect(program._parser(), "")
    return found


OPTIONS = _options()

FITTING = {
    "--profile": ("smoke", "laptop", "paper"),
    "--datasets": ("btmd", "phantom-mri", "messidor2,btmd"),
    "--rows": ("mae", "msmae", "simclr,mae"),
    "--seeds": ("0", "0-3", "7,9"),
    "--split": ("paper", "clean"),
    "--rule": ("last", "best"),
    "--jobs": ("1", "2"),
    "--launcher": ("here", "local"),
    "--micro-batch": ("1", "64"),
    "--evaluate-every": ("1", "3"),
    "--steps": ("eager", "captured"),
    "--track": ("off",),
    "--format": ("md", "csv,json"),
    "--out": ("out", "file", "file/below"),
    "--runs": ("runs", "file", "closed", "folder", "file/below"),
    "--data": ("data", "file", "closed", "folder"),
    "--root": ("data", "file", "closed"),
    "--rate": ("1", "1e3"),
    "--keep": ("all", "last"),
    "--trials": ("1", "5"),
    "--sampler": ("tpe", "grid"),
    "--pruner": ("none",),
    "--storage": ("sqlite:///x.db", "sqlite:", "no://h", "postgresql://u@h/x", "%s"),
}
"""Values that an option takes, so that more than half of the command lines are planned."""

EXPERIMENTS = {
    **dict.fromkeys(("run", "plan", "report", "track"), ("table1", "table8", "mine.py", "table2")),
    "sweep": ("sweep_masking",),
    "cost": ("mae", "vit_base_patch16"),
    "data prepare": ("btmd", "phantom-mri"),
    "data verify": ("btmd", "phantom-mri"),
    "data add": ("own",),
}


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(sorted(OPTIONS)))
    line = command.split()
    fits = draw(st.integers(0, 3)) > 0
    if fits and command in EXPERIMENTS:
        line.append(draw(st.sampled_from(EXPERIMENTS[command])))
    else:
        line += draw(st.lists(st.sampled_from(NAMES) | words, max_size=2))
    for _ in range(draw(st.integers(0, 4))):
        option = draw(st.sampled_from(OPTIONS[command]))
        if fits and option in ("-h", "--help", "--version"):
            continue
        if fits and option not in FITTING and option != "--set":
            line.append(option)
            continue
        fitting = st.sampled_from(FITTING[option]) if fits and option in FITTING else words
        value = draw(settings_texts if option == "--set" else fitting)
        line += [f"{option}={value}"] if draw(st.booleans()) else [option, value]
    return line


@pytest.fixture
def place(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with files in odd places, and commands that stop once they have planned."""
    Path("file").write_text("")
    Path("folder").mkdir()
    Path("closed").mkdir(mode=0)
    Path("broken.py").write_text("EXPERIMENT = (")
    Path("mine.py").write_text(
        "from harness.api import Recipe\nRecipe(epochs=0, batch_size=1, base_lr=1.0)\n"
    )

    def planned(*_: Any, **__: Any) -> Any:
        raise UserError("planned")

    for target in (
        "harness.cli.run.written_plans",
        "harness.cli.run.work_on_plan",
        "harness.cli.report.written_plans",
        "harness.sweep.search.search",
        "harness.sweep.search.work_on_sweep",
        "harness.cost.stage.measure",
        "harness.cost.estimate.estimate",
        "harness.data.prepare.prepare",
        "harness.data.sets.phantom.ensure",
        "harness.report.tracking.mirror",
        "harness.cli.own._finish",
    ):
        with contextlib.suppress(AttributeError):
            monkeypatch.setattr(target, planned)
    yield own_folder
    Path("closed").chmod(0o700)


def _run(line: list[str]) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = program.main(line)
        except SystemExit as end:  # argparse, for --help and --version
            code = int(end.code or 0)
    return code, out.getvalue() + err.getvalue()


@pytest.mark.slow
def test_no_command_line_ends_in_a_traceback(place: Path) -> None:
    understood: list[bool] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES < 1000,
        suppress_health_check=list(HealthCheck),
    )
    @given(line=lines())
    @example(line=["run", "table1", "--seeds", "0-99999999"])
    @example(line=["run", "table1", "--jobs", "9" * 400])
    @example(line=["plan", "table1", "--set", "recipe.betas=" + "[" * 100_000])
    @example(line=["data", "prepare", "btmd", "--workers", "-1"])
    @example(line=["status", "--runs", "a\0b"])
    @example(line=["status", "--runs", "file"])
    @example(line=["run", "\udc80.py"])
    @example(line=["plan", "mine.py"])
    def runs(line: list[str]) -> None:
        code, printed = _run(line)
        understood.append("--help`" not in printed)
        assert code in (0, 1, 2)
        assert "Traceback" not in printed or "--traceback" in line
        assert not set(printed) & set(map(chr, (*range(10), *range(11, 32), *range(127, 160))))
        assert "\u202e" not in printed

    runs()
    assert sum(understood) > len(understood) / 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            ["run", "table1", "--jobs", "-1"],
            "--jobs: '-1' is not allowed; give a whole number",
        ),
        (["run", "table1", "--jobs", "0"], "whole number from 1 to 1024"),
        (["run", "table1", "--jobs", "1e3"], "'1e3' is not allowed"),
        (["run", "table1", "--jobs", "１２"], "'１２' is not allowed"),
        (["run", "table1", "--jobs", "9" * 400], "is not allowed; give a whole number"),
        (["run", "table1", "--micro-batch", "0"], "--micro-batch: '0' is not allowed"),
        (["run", "table1", "--seeds", "0-99999999"], "names more than 1000 seeds"),
        (["run", "table1", "--seeds", "4294967296"], "the seed 4294967296 is not below 2**32"),
        (["plan", "table1", "--rate", "nan"], "'nan' is not allowed; give a number from"),
        (["sweep", "sweep_masking", "--trials", "0"], "give a whole number from 1 to 1000000"),
        (["sweep", "sweep_masking", "--timeout", "inf"], "'inf' is not allowed"),
        (["data", "prepare", "btmd", "--workers", "-1"], "--workers: '-1' is not allowed"),
        (["data", "prepare", "btmd", "--size", "0"], "--size: '0' is not allowed"),
        (["cost", "mae", "--tokens", "0"], "'0' is not a list of numbers like 197,50"),
        (["status", "--runs", ""], "give a path, not an empty text"),
        (["status", "--runs", "~nobody"], "begins with ~, which stands for no folder here"),
        (["status", "--runs", "a\0b"], "Word 3 of the command line, 'a\\x00b', is no text"),
        (["run", "\udc80"], "Word 2 of the command line, '\\udc80', is no text"),
        (["status", "--runs", "file"], "cannot use file"),
        (["status", "--runs", "x" * 5000], "File name too long"),
        (["status", "\x1b[31m"], "unrecognized arguments: \\x1b[31m"),
        (
            ["plan", "mine.py"],
            "mine.py, line 2: recipe.epochs is 0; allowed: a whole",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_words_are_refused_in_one_line(place: Path, line: list[str], message: str) -> None:
    code, printed = _run(line)
    assert code == 2, printed
    assert message in printed.splitlines()[-1], printed
    assert len(printed) < 2000


def test_a_variable_that_is_empty_names_the_usual_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_RUNS", "")
    args = program._parser().parse_args(["status"])
    assert args.runs == Path("runs")

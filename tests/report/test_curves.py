"""What stages measured by epoch: run from the command line, laid out, drawn, refused."""

from __future__ import annotations

import json
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.cli.main import main
from harness.data.prepare import prepare
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.report import collect, curves, curves_files
from harness.report.values import Context
from harness.spec import profiles
from harness.spec.table import Curve
from harness.store.record import Records
from tests import archives, prepared, records

SEEDS = (0, 1)
SMALL = ("--set", "recipe.batch_size=4")
HISTORY = {"random": (0.5, 0.5), "sam": (0.5, 0.6), "f-sam": (0.7, 0.8)}
"""Planted AUCs by epoch; seed 1 has 0.1 more."""


def _plan(folder: Path, *rows: str) -> Plan:
    if not (folder / "data").exists():
        prepared.ensure(folder / "data", "phantom-ultrasound")
    options = Options(
        profile=profiles.SMOKE,
        datasets=("busi",),
        rows=rows or None,
        seeds=SEEDS,
        data=folder / "data",
        runs=folder / "runs",
    )
    return plan.make(*catalog.load("lesions"), options)


def _plant(made: Plan) -> None:
    """Write a record of every stage that measures, but not of f-sam's fine-tuning with seed 1."""
    store = Records(made.options.runs)
    for cell_run in made.cell_runs:
        for number, stage in enumerate(cell_run.run.stages, 1):
            measured: Any = stage.method
            if measured.measure != "lesions" or (number == 2 and cell_run.seed == 1):
                continue
            name = "sam" if number == 1 and cell_run.row.name == "f-sam" else cell_run.row.name
            history = tuple(
                {
                    "epoch": float(e),
                    "loss/total": 1.0,
                    "lesion/auc": value + cell_run.seed / 10,
                    "lesion/touched": 0.25,
                    "lesion/pointing": 0.5,
                }
                for e, value in enumerate(HISTORY[name])
            )
            definition = cell_run.run.definition(number)
            done = records.record(cell_run.run.key(number), definition)
            store.write(replace(done, result=records.result(history=history)))


def _context(made: Plan) -> Context:
    context = collect.context(made, command="harness run lesions", device="cpu x")
    return replace(context, commit="c" * 40, dirty=False, created="2026-01-01")


@pytest.fixture
def planted(tmp_path: Path) -> Plan:
    made = _plan(tmp_path, "random", "sam", "f-sam", "oracle")
    _plant(_plan(tmp_path, "random", "sam", "f-sam"))
    return made


def test_a_page_has_the_last_epoch_of_every_stage_once(planted: Plan) -> None:
    (page,) = curves.pages(planted, _context(planted))
    pretrain, finetune = page.sections
    assert page.name == "lesions-curves"
    assert page.missing == ("oracle",)
    # f-sam's pre-training is sam's, and is shown there alone.
    assert [line.row for line in pretrain.lines] == ["random", "sam"]
    assert [line.row for line in finetune.lines] == ["f-sam"]
    shown = [c.name for c in pretrain.curves]
    assert shown == ["lesion/auc", "lesion/pointing"]  # not what nobody measured
    auc, pointing = pretrain.curves
    texts = [[curves.cell(c, line) for c in (auc, pointing)] for line in pretrain.lines]
    assert texts[0] == ["0.550 ± 0.071 (0.500)", "50.0 ± 0.0 (25.0)"]
    assert texts[1][0] == "0.650 ± 0.071 (0.500)"
    assert curves.cell(auc, finetune.lines[0]) == "0.800 (0.500)"  # one seed of two is done
    assert pretrain.lines[1].by_epoch("lesion/auc") == [(0, (0.5, 0.6)), (1, (0.6, 0.7))]
    assert curves.cell(Curve(name="eval/accuracy", title="A"), pretrain.lines[0]) == ""


def test_files_hold_what_was_measured(planted: Plan, tmp_path: Path) -> None:
    told: list[str] = []
    formats = ("md", "tex", "json", "csv")
    context = _context(planted)
    paths = curves_files.write(planted, context, tmp_path / "out", formats, told.append)
    assert [p.suffix for p in paths] == [".md", ".tex", ".json", ".png"]
    assert told == ["lesions-curves leaves out rows without a finished run: oracle."]
    content = json.loads(paths[2].read_text())
    sam = content["sections"][0]["rows"][1]
    assert sam["figures"]["lesion/auc"]["seeds"] == [0.6, 0.7]
    assert sam["figures"]["lesion/pointing"]["mean"] == 50.0
    assert [run["history"]["lesion/auc"] for run in sam["runs"]] == [[0.5, 0.6], [0.6, 0.7]]
    assert "| SAM as described | 0.650 ± 0.071 (0.500) |" in paths[0].read_text()
    assert r"0.650 $\pm$ 0.071 (0.500)" in paths[1].read_text()
    with Image.open(paths[3]) as picture:
        assert picture.size[0] > 400
    again = curves_files.write(planted, context, tmp_path / "again", formats, told.append)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]


def test_a_table_without_curves_and_one_without_runs_write_none(tmp_path: Path) -> None:
    bare = _plan(tmp_path)
    told: list[str] = []
    assert curves_files.write(bare, _context(bare), tmp_path, ("md",), told.append) == []
    assert len(told) == 1
    without = replace(bare, table=replace(bare.table, curves=None))
    assert curves.pages(without, _context(without)) == ()


def test_data_without_masks_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, members = archives.brain()
    archive = archives.write_zip(tmp_path / "brain.zip", members)
    prepare(dataset, archive, root=tmp_path / "data", size=32)
    stores = ("--data", str(tmp_path / "data"), "--runs", str(tmp_path / "runs"))
    command = ("run", "lesions", "--profile", "smoke", "--datasets", "btmd", *stores, *SMALL)
    assert main([*command]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "harness: Row 'random', pretrain on btmd: Data set 'btmd' has no masks, which"
        " method.measure='lesions' needs; choose one that has (busi; ham10000 where it is prepared"
        " with its masks)."
    ]
    oracle = ("--rows", "msmae", "--set", "finetune.method.weights=lesion")
    assert main(["plan", "table1", *command[2:], *oracle]) == 2
    assert "finetune on btmd" in (told := capsys.readouterr().err)
    assert "which method.weights='lesion' needs" in told
    assert not (tmp_path / "runs").exists()


def test_measuring_moves_the_key_but_no_draw(tmp_path: Path) -> None:
    """The measured row is a paired comparison with the one of Table 1: it has the same weights."""
    cell_run = next(c for c in _plan(tmp_path, "f-sam").cell_runs if c.seed == 0)
    options = replace(_plan(tmp_path).options, rows=("msmae",))
    usual = plan.make(*catalog.load("table1"), options).cell_runs[0].run
    for number in (1, 2):
        assert cell_run.run.stream(number) == usual.stream(number)
        assert cell_run.run.key(number) != usual.key(number)


@pytest.mark.slow
def test_the_experiment_runs_on_generated_images(tmp_path: Path) -> None:
    short = [
        *("--set", "recipe.epochs=2", "--set", "recipe.warmup_epochs=1"),
        *("--set", "pretrain.method.random_epochs=1"),
    ]
    rows = ("--rows", "sam,oracle,f-hints", "--datasets", "busi", "--name", "lesions")
    prepared.ensure(tmp_path / "data", "phantom-ultrasound")
    with chdir(tmp_path):
        assert main(["run", "lesions", "--profile", "smoke", *short, *rows, "--track", "off"]) == 0
    written = {path.name for path in (tmp_path / "reports/smoke").iterdir()}
    names = [f"{n}.{s}" for n in ("lesions", "lesions-curves") for s in ("md", "tex", "json")]
    assert written == {*names, "lesions-curves.png", "records.jsonl.gz"}
    content = json.loads((tmp_path / "reports/smoke/lesions-curves.json").read_text())
    pretrain, finetune = content["sections"]
    figures = {row["row"]: row["figures"] for row in pretrain["rows"]}
    # The oracle's weights are the lesion: their AUC is 1, and it hides more of it than SAM.
    assert figures["oracle"]["lesion/auc"]["mean"] == 1.0
    assert figures["oracle"]["lesion/seen"]["mean"] < figures["sam"]["lesion/seen"]["mean"]
    assert "eval/accuracy" in finetune["rows"][-1]["figures"]

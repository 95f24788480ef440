"""Table 2 from the command line: on generated images, its figure, what it shares and refuses."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.cli.main import main
from harness.data.prepare import prepare
from harness.data.prepared import open_store, subset
from harness.evaluate import overlap, registry
from harness.latency import worker
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.report import check, collect
from harness.report.costs import fill
from harness.report.grid import lay_out
from harness.spec import profiles
from harness.spec.table import Column
from harness.store import compact
from harness.store.record import Records
from harness.train import images as loading
from tests import archives, prepared

SHORT = (
    *("--profile", "smoke", "--set", "finetune.recipe.epochs=2"),
    *("--set", "pretrain.recipe.epochs=2", "--set", "pretrain.recipe.warmup_epochs=1"),
    *("--set", "pretrain.method.random_epochs=1"),
)
METRICS = ("f1", "iou", "f1_released", "iou_released", "f1_lesions", "iou_lesions")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("table2")
    prepared.ensure(made / "data", "phantom-ultrasound")
    return made


@pytest.fixture(scope="module")
def ran(folder: Path) -> Path:
    rows = ("--rows", "baseline,msmae", "--name", "table2")
    written = ("--format", "md,tex,json,csv", "--figures", "--track", "off")
    with chdir(folder):
        assert main(["run", "table2", *SHORT, *rows, *written]) == 0
    return folder / "reports/smoke"


@pytest.fixture(autouse=True)
def inside(folder: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.slow
def test_the_masks_of_each_image_are_kept_as_numbers(ran: Path) -> None:
    checked = check.check(ran)
    assert (checked.differences, checked.tables) == ((), (str(ran / "table2"),))
    archive = compact.read(ran)
    assert archive is not None
    for record in archive.records.values():
        evaluation, measured = record.evaluation(), record.measured
        assert evaluation is not None
        assert measured is not None
        for name in ("f1", "iou"):
            values = compact.decode_numbers(measured[f"last_{name}"], evaluation.n, "x")
            assert values.mean() == pytest.approx(evaluation.last.metrics[name], abs=1e-6)


@pytest.mark.slow
def test_table_2_runs_on_generated_images(ran: Path) -> None:
    names = {path.name for path in ran.iterdir()}
    tables = {f"table2.{ending}" for ending in ("md", "tex", "json", "csv")}
    assert names == {*tables, "figure9.png", "figure9.txt", compact.NAME}
    content = json.loads((ran / "table2.json").read_text())
    assert [c["name"] for c in content["columns"]] == [f"busi.{name}" for name in METRICS]
    assert all(c["phantom"] for c in content["columns"])
    assert [r["name"] for r in content["rows"]] == ["baseline", "msmae"]
    for made in content["rows"]:
        assert all(cell["state"] == "complete" for cell in made["cells"].values())
    store = open_store(ran.parents[1] / "data", "phantom-ultrasound")
    part = subset(store.part("paper", "eval"), profiles.SMOKE.eval_images)
    truth = loading.masks_of(part, profiles.SMOKE.backbones.image_size)
    for name, value in (("background", False), ("foreground", True)):
        expected = overlap.constant(truth, value=value)
        for metric in METRICS:
            found = content[name][f"busi.{metric}"]
            assert found == pytest.approx(100 * expected[metric])  # type: ignore[operator]
    assert "majority" not in content
    with Image.open(ran / "figure9.png") as picture:
        assert picture.width > 4 * 100


@pytest.mark.slow
def test_every_segmentation_has_its_cost_and_latency(ran: Path) -> None:
    records = Records(ran.parents[1] / "runs")
    found = [
        record
        for path in (ran.parents[1] / "runs/records").iterdir()
        if (record := records.read(path.stem)) and record.finished.evaluation
    ]
    assert len(found) == 2
    for record in found:
        deployed, latency = record.finished.cost.deployed, record.provenance.latency
        assert deployed is not None and deployed["thop-macs"] > 0
        assert latency is not None and latency.p50 > 0


@pytest.mark.slow
def test_the_figure_names_the_rows_that_it_leaves_out(
    ran: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["report", "table2", *SHORT, "--figures", "--name", "table2", "--out", str(tmp_path)]
    assert main(command) == 0
    out = capsys.readouterr().out
    line = "figure9.png leaves out rows without a finished run: mae, amt, vit, released."
    assert line in out.splitlines()
    assert (tmp_path / "figure9.png").read_bytes()[:4] == b"\x89PNG"
    unseen = [*command[:-1], str(tmp_path / "none"), "--seeds", "7"]
    assert main(unseen) == 0
    assert "baseline, mae, amt, vit, msmae, released." in capsys.readouterr().out
    assert not (tmp_path / "none/figure9.png").exists()


def test_tables_2_and_7_share_every_pre_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "table2", "table7", "--profile", "smoke", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    own = {each["experiment"]: each for each in facts["experiments"]}
    # Six rows, one without a pre-training; four rows, one of a single stage.
    assert (own["table2"]["runs"], own["table2"]["unique_stages"]) == (6, 11)
    assert (own["table7"]["runs"], own["table7"]["unique_stages"]) == (4, 7)
    assert (facts["shared_stages"], facts["unique_stages"]) == (4, 11 + 7 - 4)
    users = [stage["used_by"] for stage in facts["stages"]]
    for name in ("mae", "amt", "vit", "msmae"):
        assert [f"table2:{name}", f"table7:{name}"] in users


def test_constant_segmenters_are_measured_on_what_is_evaluated(folder: Path) -> None:
    part = open_store(folder / "data", "phantom-ultrasound").part("paper", "eval")
    truth = loading.masks_of(part, 32)
    loaded = loading.load(part, profiles.SMOKE, torch.device("cpu"), with_masks=True)
    np.testing.assert_array_equal(loaded.truth(), truth)
    found = registry.constants("f1", part, 32)
    healthy = float((~truth.any((1, 2))).mean())
    assert found["background"] == pytest.approx(healthy)
    assert found["foreground"] == overlap.constant(truth, value=True)["f1"]
    assert registry.constants("hd95", part, 32)["background"] is None
    assert registry.constants("accuracy", part, 32) == {}
    assert registry.find("f1") is overlap.METRICS["f1"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("Column(dataset='btmd', metric='iou')", "'btmd' has no masks, which 'iou' needs"),
        (
            "Column(dataset='btmd')",
            "Row 'one', finetune on btmd: Data set 'btmd' has no masks, which a segmentation needs",
        ),
    ],
)
def test_data_without_masks_are_refused_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, message: str
) -> None:
    dataset, members = archives.brain()
    archive = archives.write_zip(tmp_path / "brain.zip", members)
    prepare(dataset, archive, root=tmp_path / "data", size=32)
    table = tmp_path / "mine.py"
    table.write_text(
        "from harness.spec.table import Column, Row, Table\n"
        "from harness.methods.msmae import paper\n"
        f"EXPERIMENT = Table(title='T', source='', columns=({column},),\n"
        "    rows=(Row(name='one', label='One', stages=paper.segment_baseline()),))\n"
    )
    stores = ("--data", str(tmp_path / "data"), "--runs", str(tmp_path / "runs"))
    assert main(["run", str(table), "--profile", "smoke", *stores]) == 2
    assert message in capsys.readouterr().err
    assert main(["run", "table2", "--profile", "smoke", "--datasets", "btmd", *stores]) == 2
    assert "'btmd' has no masks, which 'f1' needs" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_machine_without_mmseg_is_told_before_any_training(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "mmseg" else real(name)
    )
    words = ["table2", *SHORT, "--rows", "msmae", "--runs", str(tmp_path)]
    assert main(["plan", *words]) == 0
    assert main(["run", *words, "--track", "off"]) == 2
    assert "needs mmseg, not installed here: pip install" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()


def test_a_table_without_figures_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "table7", "--profile", "smoke", "--figures"]) == 2
    assert "table7 has no figure; leave --figures out" in capsys.readouterr().err


def test_costs_stand_beside_the_metrics_of_masks(folder: Path) -> None:
    _, table = catalog.load("table2")
    names = ("f1", "deployed_macs", "training_macs")
    columns = tuple(Column(dataset="busi", metric=name) for name in names)
    cost_cell = dataclasses.replace(table, columns=columns)
    made = plan.make("table2", cost_cell, Options(profile=profiles.SMOKE))
    found = fill(made, None)
    assert len(found) == 6 * 2
    one, other = (found[row, "busi.deployed_macs"].value for row in ("msmae", "released"))
    assert 0 < one < other  # 3x3 at the end, and biases
    grid = lay_out(
        made.table,
        collect.entries(made),
        collect.column_contexts(made),
        collect.context(made, command="", device=""),
        costings=found,
    )
    assert grid.rows[0].cells["busi.deployed_macs"].state == "complete"
    assert [r.name for r in grid.computed] == ["background", "foreground"]
    assert all(r.values.keys() == {"busi.f1"} for r in grid.computed)


def test_segmentations_are_timed_as_classifiers_are() -> None:
    kinds = ("deployed", "training")
    request = {
        "device": "cpu",
        "subjects": [{"model": "table2/mae.finetune", "pass": k, "tokens": None} for k in kinds],
        "rounds": 3,
        "profile": "smoke",
        "dataset": "busi",
        "batch": 2,
        "precision": "fp32",
        "scaled": True,
        "overrides": (),
    }
    answer = worker.measure(request)
    assert [len(times) for times in answer["times"]] == [3, 3]
    assert min(min(times) for times in answer["times"]) > 0

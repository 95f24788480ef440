"""Costs as columns of tables: what is counted, what is timed once, what is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.cli.main import main
from harness.cost import models
from harness.cost.memory import of_step
from harness.latency import processes
from harness.latency.processes import Request
from harness.plan import catalog, outputs, plan
from harness.plan.options import Options
from harness.report import scatter
from harness.report.grid import lay_out
from harness.report.values import Costing
from harness.spec.costs import COSTS
from harness.spec.profiles import SMOKE
from harness.spec.table import Column, Table
from harness.stats.intervals import Interval
from tests import prepared
from tests.report_cases import CONTEXT, column, entry, row

META = torch.device("meta")
MRI = ("--profile", "smoke", "--datasets", "phantom-mri")
SHORT = ("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")

SECONDS = {"deployed": 0.010, "training": 0.008}
"""Of a batch without masks; masks in fine-tuning halve the training forward."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Answer for the timing processes, which take real time; return what they were asked."""
    requests: list[Request] = []

    def answer(request: Request) -> dict[str, Any]:
        requests.append(request)
        times = [
            [SECONDS[s.kind] / (2 if "-sam" in s.model and s.kind == "training" else 1)] * 10
            for s in request.subjects
        ]
        return {
            "times": times,
            "warm_up": [{"passes": 10, "stable": True} for _ in times],
            "device": {"kind": "cpu", "name": "x", "threads": 1},
            "load_before": 0.1,
        }

    monkeypatch.setattr(processes, "_process", answer)
    return requests


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    """Generated brains stand where the commands look."""
    prepared.ensure(own_folder / "data")


def _cells(name: str, column: str) -> dict[str, dict[str, Any]]:
    written = json.loads(Path(f"reports/smoke/{name}.json").read_text())
    return {
        r["name"]: r["cells"][f"{written['columns'][0]['name']}.{column}"] for r in written["rows"]
    }


@pytest.mark.slow
def test_table3_has_the_papers_flops_before_anything_is_trained() -> None:
    assert main(["report", "table3", *MRI]) == 0
    training = _cells("table3-phantom-mri", "paper_training_macs")
    shown = {name: (f"{c['value']:.2f}", c["remarks"]) for name, c in training.items()}
    plain, sam = ("16.86", []), ("4.37", ["−74.1 %"])
    assert [shown[f"{m}-plain"] for m in ("random", "amt", "sam")] == [plain] * 3
    assert [shown[f"{m}-sam"] for m in ("random", "amt", "sam")] == [sam] * 3
    assert shown["released"] == shown["amt-crop"] == sam
    assert training["sam-sam"]["printed"] == 4.37
    assert abs(training["sam-sam"]["difference"]) < 0.005
    # The paper tests with all patches: nothing is saved there.
    deployed = _cells("table3-phantom-mri", "paper_deployed_macs").values()
    assert all(f"{c['value']:.2f}" == "16.86" and not c["remarks"] for c in deployed)
    times = _cells("table3-phantom-mri", "training_seconds").values()
    assert all(c["state"] == "missing" and c["value"] is None for c in times)
    text = Path("reports/smoke/table3-phantom-mri.md").read_text()
    assert "| Setting | P-RM | P-AMT | P-SAM | F-SAM |" in text
    assert "4.37 (−74.1 %)" in text and "✓" in text
    tex = Path("reports/smoke/table3-phantom-mri.tex").read_text()
    assert r"\ding{51}" in tex and r"\usepackage{pifont}" in tex


@pytest.mark.slow
def test_rows_are_timed_once_together_and_found_again(
    asked: list[Request], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table3", *MRI, *SHORT, "--rows", "random-plain,random-sam"]
    words += ["--name", "table3"]
    assert main(["run", *words, "--track", "off"]) == 0
    assert len(asked) == 3  # processes
    assert [(s.model, s.kind) for s in asked[0].subjects] == [
        ("table3/random-plain.finetune", "training"),
        ("table3/random-plain.finetune", "deployed"),
        ("table3/random-sam.finetune", "training"),
        ("table3/random-sam.finetune", "deployed"),
    ]
    assert asked[0].batch == 1 and asked[0].scaled and asked[0].overrides == SHORT[1::2]
    for command in (["run", *words, "--track", "off"], ["report", *words]):
        assert main(command) == 0
    assert len(asked) == 3
    cells = _cells("table3-phantom-mri", "training_seconds")
    assert cells["random-plain"]["value"] == 8.0 and cells["random-plain"]["remarks"] == []
    assert cells["random-sam"]["value"] == 4.0
    assert cells["random-sam"]["remarks"] == ["−50.0 %"]
    assert cells["random-sam"]["interval"] == [4.0, 4.0]
    assert cells["random-sam"]["difference"] is None  # of another machine
    assert cells["random-sam"]["cost"]["seconds"]["n"] == 30
    assert cells["random-sam"]["cost"]["ratio_to_first"]["p50"] == 0.5
    (path,) = Path("runs/latency").glob("*.json")
    path.write_text(path.read_text()[:100])
    assert main(["report", *words]) == 0
    assert f"The timing {path} cannot be read (truncated?)" in capsys.readouterr().err
    assert _cells("table3-phantom-mri", "training_seconds")["random-plain"]["value"] is None


def test_equal_stages_are_timed_once(asked: list[Request]) -> None:
    options = Options(profile=SMOKE, datasets=("phantom-mri",))
    made = plan.make(*catalog.load("table3"), options)
    from harness.latency import timings

    (sheet,) = outputs.tables(made)
    timing = timings.take(sheet, "table3", torch.device("cpu"))
    # Four fine-tunings differ (plain, SAM, released, AMT's crop), each in two passes.
    assert len(asked[0].subjects) == 8 and len(timing.places) == 16
    assert timing.places["sam-sam", "training"] == timing.places["amt-sam", "training"]
    assert timings.read(sheet, "table3", torch.device("cpu")) is not None
    other = plan.make(*catalog.load("table3"), Options(profile=SMOKE, datasets=("phantom-fundus",)))
    assert timings.read(outputs.tables(other)[0], "table3", torch.device("cpu")) is None


@pytest.mark.slow
def test_every_data_set_has_a_table_of_its_own() -> None:
    words = ["report", "table3", "--profile", "smoke", "--datasets", "phantom-mri,phantom-fundus"]
    assert main([*words, "--rows", "random-plain", "--name", "table3"]) == 0
    names = {path.name for path in Path("reports/smoke").glob("*.md")}
    assert names == {"table3-phantom-mri.md", "table3-phantom-fundus.md"}
    options = Options(profile=SMOKE)
    (own,) = outputs.tables(plan.make(*catalog.load("table3"), options))
    assert own.name == "table3" and own.columns[0].phantom


@pytest.mark.slow
def test_figure7_is_drawn_over_the_rows_that_are_done(asked: list[Request]) -> None:
    words = ["run", "table1", *MRI, *SHORT, "--rows", "vit,resnet50", "--track", "off"]
    words += ["--name", "table1"]
    assert main([*words, "--figures"]) == 0
    assert asked[0].batch == 64 and {s.kind for s in asked[0].subjects} == {"training"}
    assert Path("reports/smoke/figure7-phantom-mri.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    written = json.loads(Path("reports/smoke/figure7-phantom-mri.json").read_text())
    assert written["source"] == "Figure 7"
    for found in written["rows"]:
        cells = found["cells"]
        assert cells["phantom-mri"]["value"] is not None
        assert cells["phantom-mri.training_macs"]["value"] > 0
        assert cells["phantom-mri.training_seconds_64"]["value"] == 8.0


def test_times_of_two_batches_are_refused_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from harness.methods.baselines import supervised\n"
        "from harness.spec.table import Column, Row, Table\n"
        "names = ('accuracy', 'training_seconds', 'training_seconds_64')\n"
        "EXPERIMENT = Table(title='T', source='', rows=(Row(name='a', label='A',"
        " stages=supervised.vit()),),\n"
        "    columns=tuple(Column(dataset='phantom-mri', metric=name) for name in names))\n"
    )
    assert main(["run", str(mine), "--profile", "smoke", "--track", "off"]) == 2
    assert "mine shows times of batches of 1 and 64" in capsys.readouterr().err
    assert not Path("runs/records").exists()


def test_an_experiment_without_a_figure_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "table3", *MRI, "--figures"]) == 2
    assert "table3 has no figure; leave --figures out" in capsys.readouterr().err


def test_points_of_a_figure_and_what_is_left_out() -> None:
    macs = Column(dataset="btmd", metric="training_macs")
    seconds = Column(dataset="btmd", metric="training_seconds_64")
    shown = (column(), column(column=macs), column(column=seconds))
    rows = (row("a"), row("b"), row("c"))
    table = Table(title="T", source="", rows=rows, columns=tuple(c.column for c in shown))
    costings = {
        ("a", macs.name): Costing(value=2e9, change=0.0),
        ("b", macs.name): Costing(value=1e9, change=-0.5),
        ("c", macs.name): Costing(value=1e9, change=-0.5),
        ("a", seconds.name): Costing(value=0.02, noisy=("IQR",), interval=Interval(0.01, 0.03)),
    }
    entries = [entry("a", 0.5), entry("b", 0.75), entry("c", None, error="x")]
    grid = lay_out(table, entries, shown, CONTEXT, costings=costings)
    found = scatter.points(grid)
    assert [(p.label, p.cost, p.accuracy, p.time, p.noisy) for p in found] == [
        ("A", 2.0, 50.0, 20.0, True),
        ("B", 1.0, 75.0, None, False),
    ]
    assert scatter.scatter(grid) == scatter.scatter(grid)
    cells = {r.row.name: r.cells for r in grid.rows}
    assert cells["a"][seconds.name].remarks == ("noisy",)
    assert cells["b"][macs.name].remarks == ("−50.0 %",)
    assert cells["a"][macs.name].rank is None  # costs are not ranked
    assert cells["b"][seconds.name].state == "missing"


@pytest.mark.parametrize("name", sorted(COSTS))
def test_costs_have_a_direction_and_a_unit(name: str) -> None:
    cost = COSTS[name]
    assert cost.better == "lower" and cost.name == name
    assert ("(G)" if cost.what == "macs" else "(ms)") in cost.title


def test_models_are_as_the_plan_runs_them() -> None:
    overrides = ("finetune.method.mask_ratio=0.5",)
    options = Options(profile=SMOKE, datasets=("phantom-mri",), overrides=overrides)
    made = plan.make(*catalog.load("table3"), options)
    for name, chain in made.chains.items():
        assert models.find(f"table3/{name}.finetune", SMOKE, overrides).stage == chain[-1]


def test_memory_of_two_layers_by_hand() -> None:
    layers = nn.Sequential(nn.Linear(10, 20, bias=False), nn.ReLU(), nn.Linear(20, 5, bias=False))
    layers.to(META)
    images = torch.empty(4, 10, device=META)
    found = of_step(layers, lambda: layers(images).sum(), 4)
    assert found.parameters == 4 * (10 * 20 + 20 * 5)
    # The first layer keeps the images, the second what ReLU gave; ReLU keeps that too.
    assert found.activations == 4 * (4 * 10 + 4 * 20)
    # At most: parameters, all their gradients, the gradient of the hidden values, three scalars.
    assert found.peak == 2 * found.parameters + 4 * 4 * 20 + 4 * 3


def test_memory_of_attention_is_that_of_the_fused_kernel() -> None:
    query, key, value = (torch.empty(2, 3, 50, 8, device=META, requires_grad=True) for _ in "qkv")
    attend = nn.functional.scaled_dot_product_attention
    found = of_step(nn.Identity(), lambda: attend(query, key, value).sum(), 2)
    each = 4 * query.numel()
    assert found.activations == 4 * each + 4 * 2 * 3 * 50  # q, k, v, output; log-sum-exp
    # Written out, one map alone would be more: 2 x 3 x 50 x 50.
    assert found.activations < 4 * each + 4 * 2 * 3 * 50 * 50

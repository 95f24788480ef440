"""``--classes``: what finished classifiers do with each class, from kept predictions alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.errors import UserError
from harness.plan import catalog
from harness.plan import plan as planning
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.report import classes, classes_page, collect
from harness.spec import profiles
from harness.store.record import Records
from tests import plans, planted, prepared
from tests.conftest import Harness

SELECTION = ("--profile", "smoke", "--datasets", "phantom-mri", "--rows", "vit,resnet50")


@pytest.fixture
def made(tmp_path: Path) -> Plan:
    """A plan of two rows under two seeds, all of which are finished."""
    plan = plans.of_table1("vit", "resnet50", root=tmp_path, seeds=(0, 1))
    planted.plant_all(plan)
    return plan


def _write(plan: Plan, folder: Path) -> dict[str, Any]:
    context = collect.context(plan, command="harness report", device="some CPU")
    classes_page.write(plan, context, folder)
    content: dict[str, Any] = json.loads((folder / "table1-classes.json").read_text())
    return content


def _runs(content: dict[str, Any]) -> list[dict[str, Any]]:
    (dataset,) = content["datasets"]
    return [run for row in dataset["rows"] for run in row["runs"]]


@pytest.mark.parametrize("rule", ["last", "best"])
def test_the_numbers_of_each_run_are_those_of_scikit_learn(tmp_path: Path, rule: str) -> None:
    from sklearn import metrics as reference

    plan = plans.of_table1("vit", "resnet50", root=tmp_path, seeds=(0, 1), rule=rule)
    predictions = planted.plant_all(plan)
    runs = _runs(_write(plan, tmp_path / "out"))
    assert [run["seed"] for run in runs] == [0, 1, 0, 1]
    for run, arrays in zip(runs, predictions, strict=True):
        labels, choice = arrays["labels"], arrays[rule].argmax(1)
        assert run["confusion"] == reference.confusion_matrix(labels, choice).tolist()
        recalls = reference.recall_score(labels, choice, average=None)
        assert [c["recall"] for c in run["classes"]] == pytest.approx(list(recalls))
        areas = [reference.roc_auc_score(labels == k, arrays[rule][:, k]) for k in range(4)]
        assert [c["auroc"] for c in run["classes"]] == pytest.approx(areas)
        balanced = reference.balanced_accuracy_score(labels, choice)
        assert run["metrics"]["balanced_accuracy"] == pytest.approx(balanced)
        kappa = reference.cohen_kappa_score(labels, choice)
        assert run["metrics"]["cohen_kappa"] == pytest.approx(kappa)
        gaps = [
            b["count"] * abs(b["accuracy"] - b["confidence"]) for b in run["bins"] if b["count"]
        ]
        assert run["metrics"]["ece"] == pytest.approx(sum(gaps) / run["n"])


def test_the_page_names_n_seeds_rule_and_keys(made: Plan, tmp_path: Path) -> None:
    content = _write(made, tmp_path / "out")
    page = (tmp_path / "out/table1-classes.md").read_text()
    assert f"| ViT-B | {len(planted.labels_of(made))} | 0, 1 |" in page
    assert "the last of each run" in page
    for run in _runs(content):
        assert run["key"][:12] in page
    recall = np.mean([run["classes"][0]["recall"] for run in _runs(content)[:2]])
    (line,) = [x for x in page.partition("Recall per class")[2].split("\n") if "ViT-B" in x][:1]
    assert f"| {100 * recall:.2f} ± " in line


def test_a_figure_is_drawn_and_the_same_runs_give_the_same_bytes(
    made: Plan, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        _write(made, tmp_path / folder)
    name = "table1-classes-phantom-mri.png"
    drawn = (tmp_path / "one" / name).read_bytes()
    assert drawn == (tmp_path / "two" / name).read_bytes()
    with Image.open(tmp_path / "one" / name) as image:
        colours = image.convert("RGB").getcolors(2**20)
    assert colours is not None and len(colours) > 50


def test_a_run_without_predictions_is_named_and_the_others_are_shown(
    made: Plan, tmp_path: Path
) -> None:
    gone, *_ = (c.run.key() for c in made.cell_runs)
    Records(made.options.runs).predictions_path(gone).unlink()
    (dataset,) = _write(made, tmp_path / "out")["datasets"]
    vit, resnet = dataset["rows"]
    assert [run["seed"] for run in vit["runs"]] == [1]
    assert vit["lacking"].keys() == {"0"}
    assert "are missing" in vit["lacking"]["0"]
    assert len(resnet["runs"]) == 2
    assert "seed 0, is absent" in (tmp_path / "out/table1-classes.md").read_text()


def test_a_collapsed_run_says_so(tmp_path: Path) -> None:
    plan = plans.of_table1("vit", root=tmp_path, seeds=(0,))
    arrays = planted.arrays(0, planted.labels_of(plan))
    for rule in ("last", "best"):
        arrays[rule] = np.tile(np.float32([0.1, 0.6, 0.2, 0.1]), (len(arrays["labels"]), 1))
    planted.plant(plan, plan.cell_runs[0].run, arrays)
    (run,) = _runs(_write(plan, tmp_path / "out"))
    assert run["collapsed"]
    assert [c["recall"] for c in run["classes"]] == [0, 1, 0, 0]
    assert [c["auroc"] for c in run["classes"]] == [0.5] * 4
    assert run["metrics"]["cohen_kappa"] == 0
    assert "ViT-B (collapsed)" in (tmp_path / "out/table1-classes.md").read_text()


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    plan = plans.of_table1("vit", root=tmp_path, seeds=(0,))
    (dataset,) = _write(plan, tmp_path / "out")["datasets"]
    assert dataset["rows"][0]["lacking"] == {"0": "no record"}
    assert not list((tmp_path / "out").glob("*.png"))
    assert "No finished run." in (tmp_path / "out/table1-classes.md").read_text()


def test_a_table_of_masks_is_refused(tmp_path: Path) -> None:
    prepared.ensure(tmp_path / "data", "phantom-ultrasound")
    options = Options(
        profile=profiles.SMOKE,
        datasets=("phantom-ultrasound",),
        data=tmp_path / "data",
        runs=tmp_path / "runs",
    )
    plan = planning.make(*catalog.load("table2"), options)
    with pytest.raises(UserError, match="table2 has no column of a classifier's metric"):
        classes.check(plan)


def test_the_command_writes_them_beside_the_table(
    made: Plan, own_folder: Path, harness: Harness
) -> None:
    words = ("report", "table1", *SELECTION, "--name", "table1")
    code, out, err = harness(*words, "--seeds", "0,1", "--classes")
    assert (code, err) == (0, "")
    for ending in ("md", "json"):
        assert Path(f"reports/smoke/table1-classes.{ending}").is_file()
        assert f"table1-classes.{ending}" in out


def test_metrics_are_columns_and_nothing_is_trained(made: Plan, harness: Harness) -> None:
    chosen = ("--metrics", "balanced_accuracy,cohen_kappa", "--seeds", "0,1", "--name", "chosen")
    code, out, err = harness("run", "table1", *SELECTION, *chosen, "--track", "off")
    assert code == 0, err
    assert "0 stages trained, 4 found done, 0 failed" in out
    content = json.loads(Path("reports/smoke/chosen.json").read_text())
    names = ["phantom-mri.balanced_accuracy", "phantom-mri.cohen_kappa"]
    assert [column["name"] for column in content["columns"]] == names
    for number, row in enumerate(content["rows"]):
        cell = row["cells"][names[1]]
        assert (cell["state"], cell["printed"]) == ("complete", None)
        for seed in (0, 1):
            arrays = planted.arrays(2 * number + seed, planted.labels_of(made))
            from sklearn.metrics import cohen_kappa_score

            kappa = cohen_kappa_score(arrays["labels"], arrays["last"].argmax(1))
            assert cell["seeds"][seed]["value"] == pytest.approx(kappa)

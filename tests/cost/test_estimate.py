"""What plans count: the paper's numbers, data that are not there, FLOPs, hours and disk."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.cost import estimate
from harness.cost.stage import of_stage
from harness.data import registry
from harness.plan import catalog, columns, plan, summary
from harness.plan.options import Options
from harness.spec import profiles
from harness.store.record import Records

TABLES = ("table1", "table2", "table3", "table7", "table8")


@pytest.fixture
def facts(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `harness plan ... --json` in an empty folder and return what it prints."""

    def run(*arguments: str) -> dict[str, Any]:
        assert main(["plan", *arguments, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def test_the_five_tables_print_102_numbers(facts: Any) -> None:
    """By hand, from the paper's pages."""
    found = facts(*TABLES, "--profile", "paper", "--no-cost")
    own = {each["experiment"]: each["published_numbers"] for each in found["experiments"]}
    assert own == {
        "table1": 10 * 3,
        "table2": 5 * 2,
        "table3": 6 * 3,
        "table7": 4 * 1,
        "table8": (3 + 3 + 4 + 4 + 4 + 2) * 2,
    }
    assert found["published_numbers"] == 102
    assert "work" not in found


def test_the_sums_of_the_five_tables(facts: Any) -> None:
    """By hand, one seed; a data set of N training images, E epochs.

    table8, a data set: 9 pre-trainings of 300 epochs, 15 fine-tunings of 100; the default's two
    are Table 1's. table3 (Messidor-2): 5 pre-trainings, 8 fine-tunings; MAE, AMT and MSMAE are
    Table 1's (3 and 3). table7 (BUSI): 3 + 3 and 1 classifier of 300; table2: 1 + 6
    segmentations of 200 and one more pre-training, as released.
    """
    found = facts(*TABLES, "--profile", "paper", "--no-cost")
    own = {each["experiment"]: each for each in found["experiments"]}
    counts = ("runs", "naive_trainings", "unique_stages")
    assert {name: [each[c] for c in counts] for name, each in own.items()} == {
        "table1": [30, 51, 51],
        "table2": [6, 11, 11],
        "table3": [8, 16, 13],
        "table7": [4, 7, 7],
        "table8": [40, 80, 2 * (9 + 15)],
    }
    assert own["table8"]["images_times_epochs_missing"] == (1222 + 5712) * (9 * 300 + 15 * 100)
    assert own["table3"]["images_times_epochs_missing"] == 1222 * (5 * 300 + 8 * 100)
    # Shared: Table 1's default on two data sets, MAE and AMT on Messidor-2; four of BUSI.
    assert found["shared_stages"] == 2 * 2 + 2 * 2 + 4
    assert found["unique_stages"] == 51 + 11 + 13 + 7 + 48 - (4 + 4 + 4) - 2
    seeds = facts(*TABLES, "--profile", "paper", "--no-cost", "--seeds", "0-4")
    assert seeds["unique_stages"] == 5 * found["unique_stages"]
    assert seeds["published_numbers"] == 102


def test_narrowed_tables_count_what_they_show(facts: Any) -> None:
    smoke = ("--profile", "smoke")
    assert facts("table3", *smoke, "--rows", "sam-sam")["published_numbers"] == 3
    assert facts("table8", *smoke, "--datasets", "btmd")["published_numbers"] == 20
    # Costs are no data set's: they stay beside an accuracy that the paper does not print.
    assert facts("table3", *smoke, "--datasets", "phantom-mri")["published_numbers"] == 12
    assert facts("table1", *smoke, "--datasets", "phantom-mri")["published_numbers"] == 0


def test_plans_need_no_data_and_runs_do(
    facts: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = facts("table7", "--profile", "laptop")
    assert found["not_prepared"] == {"busi": {"train": 547, "eval": 233}}
    assert {stage["status"] for stage in found["stages"]} == {"unknown"}
    assert {stage["images"] for stage in found["stages"]} == {547}
    assert (found["done"], found["missing"], found["unknown"]) == (0, 7, 7)
    clean = facts("table7", "--profile", "laptop", "--split", "clean")
    assert clean["not_prepared"] == {"busi": {"train": 546, "val": 78, "test": 156}}
    assert main(["plan", "table7", "--profile", "laptop"]) == 0
    assert "busi is not prepared: counted at its official sizes (547 train, 233 eval)" in (
        capsys.readouterr().out
    )
    for command in ("run", "report", "track"):
        assert main([command, "table7", "--profile", "laptop"]) == 2
        assert "Not prepared under data: busi" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_prepared_and_missing_data_are_told_apart(facts: Any) -> None:
    facts("table7", "--profile", "smoke", "--datasets", "phantom-mri")  # prepares it
    found = facts("table7", "--profile", "laptop", "--datasets", "busi,phantom-mri")
    assert list(found["not_prepared"]) == ["busi"]
    statuses = {(s["title"].split(" / ")[1], s["status"]) for s in found["stages"]}
    assert statuses == {("busi", "unknown"), ("phantom-mri", "missing")}
    assert (found["missing"], found["unknown"]) == (14, 7)


def test_the_official_sizes_of_the_clean_split_are_its_shares() -> None:
    made = columns.official(registry.find("ham10000"))
    assert made.parts["paper"] == {"train": 7014, "eval": 3001}
    assert sum(made.parts["clean"].values()) == pytest.approx(10015, abs=2)


def _plan(tmp_path: Path, rows: tuple[str, ...]) -> plan.Plan:
    options = Options(
        profile=profiles.SMOKE,
        rows=rows,
        unprepared=True,
        data=tmp_path / "data",
        runs=tmp_path / "runs",
        datasets=("phantom-mri",),
    )
    return plan.make(*catalog.load("table7"), options)


@pytest.mark.slow
def test_the_work_is_flops_of_a_step_times_images_times_epochs(tmp_path: Path) -> None:
    made = _plan(tmp_path, ("msmae", "vit"))
    loads = summary.unique_loads([made], Records(tmp_path / "runs"))
    work = estimate.estimate([made], loads, 0.5)
    dataset = registry.find("phantom-mri")
    expected, bytes_, largest = 0.0, 0, 0
    for load, epochs in zip(loads, (60, 60, 20), strict=True):  # ViT; then MSMAE's two
        stage = load.step.stage
        assert (load.images, load.epochs) == (256, epochs)
        cost = of_stage(stage, dataset, profiles.SMOKE.backbones)
        assert cost.step is not None and cost.memory is not None
        expected += cost.step["torch-flops"] * 256 * epochs
        weights = cost.memory.parameter_bytes
        bytes_ += weights
        largest = max(largest, weights)
        assert work["stage_flops"][load.step.key] == cost.step["torch-flops"] * 256 * epochs
    assert work["flops"] == work["flops_missing"] == pytest.approx(expected)
    assert work["gpu_hours_missing"] == pytest.approx(expected / 0.5e12 / 3600)
    disk = work["disk_bytes_missing"]
    assert disk["weights"] == bytes_
    # Adam keeps two more of every trained parameter; fixed positions have none.
    assert 2.8 * largest < disk["training_state"] <= 3 * largest
    # Records: 8 kB, 1 kB an epoch; two classifiers keep 2 x 4 B of 4 classes of 128 images.
    assert disk["records"] == 3 * 8000 + (60 + 60 + 20) * 1000 + 2 * 128 * (2 * 4 * 4 + 24)
    assert disk["total"] == disk["weights"] + disk["training_state"] + disk["records"]
    text = "\n".join(estimate.lines(work))
    assert "At 0.5 TFLOPS" in text
    assert "GPU-hours" in text


def test_what_is_done_is_no_work(tmp_path: Path) -> None:
    made = _plan(tmp_path, ("vit",))
    loads = summary.unique_loads([made], Records(tmp_path / "runs"))
    done = [dataclasses.replace(load, status="done") for load in loads]
    work = estimate.estimate([made], done)
    assert work["flops"] > work["flops_missing"] == 0
    assert work["gpu_hours_missing"] is None
    assert work["disk_bytes_missing"]["total"] == 0
    assert "--rate TFLOPS" in "\n".join(estimate.lines(work))


def test_stages_that_cannot_be_counted_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cost.count import UncountedError

    def fails(*_: object) -> None:
        raise UncountedError("no formula for aten.odd")

    monkeypatch.setattr(estimate, "size", fails)
    made = _plan(tmp_path, ("vit",))
    work = estimate.estimate([made], summary.unique_loads([made], Records(tmp_path / "runs")))
    assert list(work["uncounted"].values()) == ["no formula for aten.odd"]
    assert work["flops"] == 0
    assert "Not counted: supervised " in "\n".join(estimate.lines(work))


def test_rates_give_hours_at_any_profile(facts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("table7", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "vit")
    found = facts(*chosen, "--rate", "2")
    assert found["work"]["rate_tflops"] == 2
    assert "work" not in facts(*chosen)
    assert facts(*chosen, "--cost")["work"]["gpu_hours_missing"] is None
    with pytest.raises(SystemExit):
        main(["plan", *chosen, "--rate", "0"])
    assert "'0' is not allowed; give a number from 1e-06" in capsys.readouterr().err


@pytest.mark.slow
def test_throughput_is_flops_of_a_step_over_its_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cost.json"
    timed = ("--throughput", "--profile", "smoke", "--rounds", "3", "--processes", "1")
    assert main(["cost", "vit", *timed, "--batch-size", "8", "--json", str(path)]) == 0
    assert "TFLOPS (torch-flops)" in capsys.readouterr().out
    written = json.loads(path.read_text())
    (step,) = written["latency"]["seconds"].values()
    backbones = profiles.SMOKE.backbones
    stage = catalog.load("table7")[1].rows[2].stages
    assert stage is not None
    per_image = estimate.size(stage[0], registry.find("messidor2"), backbones).flops
    assert written["throughput_tflops"]["vit"] == pytest.approx(8 * per_image / step["p50"] / 1e12)
    assert main(["cost", "vit", *timed, "--tokens", "10"]) == 2
    assert "leave --tokens and --pass out" in capsys.readouterr().err

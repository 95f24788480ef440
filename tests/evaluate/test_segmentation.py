"""A segmentation stage: trained, evaluated, killed, resumed, planned and reported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.data.prepared import ImageStore, open_store
from harness.errors import UserError
from harness.evaluate import overlap, registry, segmentation
from harness.evaluate.segmentation import SegmentationEvaluator
from harness.execute.executor import Executor
from harness.plan import plan, summary
from harness.plan.options import Options
from harness.progress import Progress as Shown
from harness.report import collect, tracking_plan
from harness.report.tracking_plan import Source
from harness.spec import profiles
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from harness.train import images as loading
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.task import Task
from tests import prepared
from tests.one_layer import OneLayer, Segment

KEY = "s" * 64
SIDE = 16


def _images(seed: int, count: int = 20) -> Images:
    """Return dark images with a bright square where the mask is set; every fourth has none."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 60, (count, 1, 32, 32), dtype=torch.uint8, generator=generator)
    masks = torch.zeros(count, 1, 32, 32, dtype=torch.uint8)
    for row in range(count):
        if row % 4:
            top, left = torch.randint(0, 20, (2,), generator=generator).tolist()
            masks[row, 0, top : top + 10, left : left + 8] = 1
    return Images(
        pixels=pixels + 150 * masks,
        labels=torch.arange(count) % 4,
        sizes=torch.full((count, 2), 32),
        names=tuple(f"image {row}" for row in range(count)),
        size=SIDE,
        masks=masks,
    )


EpochCallback = Callable[[int, int, dict[str, float]], None]


def _job(folder: Path, task: Task | None = None, watch: EpochCallback | None = None) -> Job:
    torch.manual_seed(0)
    task = task or OneLayer()
    reported = _images(2)
    return Job(
        task=task,
        recipe=Recipe(epochs=4, batch_size=4, base_lr=0.5, optimizer="adam", lr_batch=None),
        train=_images(1),
        stream=KEY,
        checkpoints=Checkpoints(folder, KEY, overhead=1e9),  # after every epoch
        evaluator=SegmentationEvaluator(task, reported, reported),
        watch=watch,
    )


class _Killed(Exception):
    pass


def _evaluator(job: Job) -> SegmentationEvaluator:
    assert isinstance(job.evaluator, SegmentationEvaluator)
    return job.evaluator


def test_a_killed_and_resumed_training_gives_the_same_bits(tmp_path: Path) -> None:
    whole = _job(tmp_path / "whole")
    history = fit(whole)

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 2:
            raise _Killed

    with pytest.raises(_Killed):
        fit(_job(tmp_path / "parts", watch=kill))
    resumed = _job(tmp_path / "parts")
    assert fit(resumed) == history
    for name, value in whole.task.state_dict().items():
        assert torch.equal(value, resumed.task.state_dict()[name]), name
    first, second = (_evaluator(job).predictions() for job in (whole, resumed))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert _evaluator(whole).summary(4) == _evaluator(resumed).summary(4)
    # Checkpoints hold bits: two maps of 20 images.
    state = _evaluator(whole).state_dict().values()
    assert sum(t.numel() for t in state if isinstance(t, Tensor)) == 2 * 20 * 32


def test_the_record_holds_the_last_and_the_best_epoch(tmp_path: Path) -> None:
    job = _job(tmp_path)
    history = fit(job)
    found = _evaluator(job).summary(len(history))
    assert (found.n, found.lesions, found.classes) == (20, 15, (5, 5, 5, 5))
    ious = [epoch["eval/iou"] for epoch in history]
    assert max(ious) > 0.5
    assert (found.last.epoch, found.best.epoch) == (3, ious.index(max(ious)))
    assert found.last.metrics["iou"] == ious[-1]
    assert found.best.metrics["iou"] == max(ious)
    assert found.last.metrics.keys() == overlap.METRICS.keys()
    assert not found.last.collapsed
    arrays = _evaluator(job).predictions()
    truth = segmentation.unpack(arrays["truth"], int(arrays["side"]))
    np.testing.assert_array_equal(truth, _images(2).truth())
    for at in segmentation.RULES:
        metrics = found.at(at).metrics
        maps = segmentation.unpack(arrays[at], SIDE)
        assert overlap.evaluate(maps, truth) == metrics
        assert arrays[f"{at}_iou"].mean() == pytest.approx(metrics["iou"])
        assert arrays[f"{at}_f1"].shape == arrays[f"{at}_hd95"].shape == (20,)
    assert arrays["lesion"].tolist() == [row % 4 > 0 for row in range(20)]
    assert arrays["names"].tolist() == list(_images(2).names)


def test_the_best_epoch_is_chosen_on_the_validation_part(tmp_path: Path) -> None:
    torch.manual_seed(0)
    evaluator = SegmentationEvaluator(OneLayer(), _images(2), _images(3))
    figures = evaluator.after_epoch(0)
    assert (
        evaluator.state_dict()["best_criterion"] == figures["validation/iou"] != figures["eval/iou"]
    )


@pytest.mark.parametrize(("bias", "value"), [(-1e4, 0.25), (1e4, None)])
def test_constant_answers_are_called_collapsed(bias: float, value: float | None) -> None:
    reported = _images(2)
    evaluator = SegmentationEvaluator(OneLayer(bias), reported, reported)
    evaluator.after_epoch(0)
    point = evaluator.summary(1).last
    assert point.collapsed
    expected = overlap.constant(_images(2).truth(), value=bias > 0)
    assert point.metrics == expected
    assert value is None or expected["f1"] == value


def test_divergence_is_not_taken_for_background() -> None:
    task = OneLayer(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        segmentation.predicted(task, _images(2))


def test_a_threshold_is_a_setting_of_the_task() -> None:
    torch.manual_seed(0)
    task = OneLayer()
    usual = segmentation.predicted(task, _images(2)).sum()
    task.threshold = 0.9
    assert segmentation.predicted(task, _images(2)).sum() < usual


def _table(*columns: Column, bias: float = 0.0) -> Table:
    recipe = Recipe(epochs=2, batch_size=16, base_lr=0.1, optimizer="adam", lr_batch=None)
    stage = Stage(phase="supervised", method=Segment(bias), recipe=recipe)
    row = Row(name="one", label="One layer", stages=(stage,), printed={"phantom-ultrasound.f1": 50})
    return Table(title="Masks", source="Table 2", rows=(row,), columns=columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("segmentation")
    prepared.ensure(made / "data", "phantom-ultrasound", size=32)
    return made


def _options(folder: Path, **changes: object) -> Options:
    profile = dataclasses.replace(profiles.SMOKE, train_images=32, eval_images=24)
    values = {"profile": profile, "data": folder / "data", "runs": folder / "runs"}
    return Options(**(values | changes))  # type: ignore[arg-type]


COLUMNS = tuple(Column(dataset="phantom-ultrasound", metric=name) for name in overlap.METRICS)


def test_a_table_of_masks_is_run_and_every_metric_is_found(folder: Path) -> None:
    made = plan.make("masks", _table(*COLUMNS), _options(folder))
    assert len(made.stage_runs) == 1
    outcome = Executor(torch.device("cpu")).execute(made, Shown())
    assert (outcome.trained, outcome.failed) == (1, ())
    entries = collect.entries(made)
    assert [e.column for e in entries] == [f"phantom-ultrasound.{name}" for name in overlap.METRICS]
    assert all(e.n == 24 and e.status == "done" for e in entries)
    assert all(c.majority is None for c in collect.column_contexts(made))
    record = Records(folder / "runs").read(made.stage_runs[0].key)
    assert record is not None
    values = {e.column.partition(".")[2]: e.last for e in entries}
    assert values == record.evaluation().last.metrics
    with np.load(Records(folder / "runs").predictions_path(record.key)) as kept:
        assert kept["last"].shape == (24, 32 * 32 // 8)
    mirrored = tracking_plan.mirrors(Source(plan=made))
    assert [run.kind for run in mirrored] == ["run", "stage"]
    assert "last/iou" in mirrored[0].metrics
    facts = summary.overview([made], Records(folder / "runs"))
    assert (facts["runs"], facts["naive_trainings"]) == (1, 1)


def test_undefined_distances_are_kept_as_none(folder: Path) -> None:
    made = plan.make("empty", _table(*COLUMNS, bias=-1e4), _options(folder))
    assert Executor(torch.device("cpu")).execute(made, Shown()).failed == ()
    values = {e.column.partition(".")[2]: e for e in collect.entries(made)}
    assert values["hd95"].value is None
    assert values["f1_pooled"].value == 0
    assert values["f1"].collapsed
    assert "last/hd95" not in tracking_plan.mirrors(Source(plan=made))[0].metrics


def test_columns_must_fit_what_is_evaluated(folder: Path) -> None:
    table = _table(Column(dataset="phantom-ultrasound"))
    made = plan.make("wrong", table, _options(folder, runs=folder / "other"))
    Executor(torch.device("cpu")).execute(made, Shown())
    with pytest.raises(UserError, match="'accuracy'.*evaluated by f1, iou"):
        collect.entries(made)


def test_other_data_sets_get_the_tables_metrics(folder: Path) -> None:
    asked = _options(folder, datasets=("phantom-ultrasound",))
    table = _table(Column(dataset="busi", metric="f1"), Column(dataset="busi", metric="iou"))
    made = plan.make("masks", table, asked)
    names = [c.column.name for c in made.columns]
    assert names == ["phantom-ultrasound.f1", "phantom-ultrasound.iou"]
    # Probes stand after an accuracy; a table of masks has none.
    probed = plan.make("masks", table, dataclasses.replace(asked, probes=True))
    assert [c.column.name for c in probed.columns] == names


def test_data_without_masks_and_unknown_metrics_are_refused_when_planned(folder: Path) -> None:
    made = plan.make("masks", _table(*COLUMNS), _options(folder))
    manifest = made.columns[0].manifest
    bare = dataclasses.replace(manifest, dataset="btmd", files={"images.npy": "0"})
    with pytest.raises(UserError, match="'btmd' has no masks, which 'f1' needs"):
        registry.check(COLUMNS[0], bare)
    with pytest.raises(UserError, match="metric 'f2'"):
        plan.make("x", _table(Column(dataset="phantom-ultrasound", metric="f2")), _options(folder))


def _part(folder: Path) -> ImageStore:
    return open_store(folder / "data", "phantom-ultrasound").part("paper", "eval")


def test_parts_without_any_lesion_are_refused(folder: Path) -> None:
    part = _part(folder)
    healthy = part.take(np.flatnonzero(part.labels == 2))
    with pytest.raises(UserError, match=r"All \d+ masks of a part.*phantom-ultrasound.*are empty"):
        loading.load(healthy, profiles.SMOKE, torch.device("cpu"), with_masks=True)
    assert loading.load(healthy, profiles.SMOKE, torch.device("cpu")).masks is None

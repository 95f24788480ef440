"""Micro-batches: the same gradient in parts, or a refusal that says why."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import seed
from harness.execute.executor import Executor
from harness.methods.baselines import amt, contrastivecrop, mae, mocov3, simclr, simmim, supervised
from harness.methods.msmae import paper
from harness.methods.msmae.finetune import Finetune
from harness.progress import Progress as Shown
from harness.spec.recipe import Stage
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from harness.train import backward
from harness.train.loop import Job, fit
from harness.train.shadow import Shadows
from harness.train.task import Batch, StepContext, Task
from tests import plans, tiny
from tests.train import toy

DIVISIBLE: dict[str, Stage] = {
    "mae": mae.stages()[0],
    "amt": amt.stages()[0],
    "msmae": paper.described()[0],
    "msmae-released": paper.released()[0],
    "msmae-finetune": paper.described()[1],
    "vit": supervised.vit()[0],
    "swin": supervised.swin()[0],
    "simmim": simmim.stages()[0],
}


def _task(method: Any) -> Task:
    with seed.third_party("micro", "build"):
        task: Task = method.build(tiny.dataset(), tiny.ENCODERS)
    return task


def _gradients(stage: Stage, size: int | None, epoch: int) -> tuple[dict[str, Tensor], Any]:
    task, batch, at = _task(stage.method), tiny.batch(8), tiny.progress(epoch)
    assert backward.obstacle(task.train()) is None
    with seed.third_party("micro", "step"):
        if epoch:
            task.before_epoch(epoch, lambda function: function(batch.images[0]).detach())
        task.train()
        losses = backward.backward(task, batch, at, size)
        after = (float(torch.rand(1)), float(torch.rand(1, generator=at.generator)))
    found = {n: p.grad for n, p in task.named_parameters() if p.grad is not None}
    return {**found, **losses}, after


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("name", DIVISIBLE)
def test_parts_give_the_gradient_of_the_whole(name: str, size: int) -> None:
    stage = DIVISIBLE[name]
    if hasattr(stage.method, "drop_path"):
        # Without the replayed draws of stochastic depth this would fail.
        stage = dataclasses.replace(stage, method=dataclasses.replace(stage.method, drop_path=0.5))
    epoch = 40 if name.startswith(("amt", "msmae")) else 0
    whole, drawn = _gradients(stage, None, epoch)
    parts, redrawn = _gradients(stage, size, epoch)
    assert whole.keys() == parts.keys()
    scale = max(float(v.abs().max()) for v in whole.values())
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=2e-4, atol=1e-6 * scale, msg=key)
    assert drawn == redrawn  # the generators stand where they would have stood


def test_a_size_of_the_batch_is_the_plain_step() -> None:
    stage = DIVISIBLE["mae"]
    whole, _ = _gradients(stage, None, 0)
    for size in (8, 100):
        same, _ = _gradients(stage, size, 0)
        assert all(torch.equal(same[name], value) for name, value in whole.items())


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (supervised.ResNet50(), "BatchNorm takes its statistics over the batch"),
        (simclr.SimCLR(), "negatives are the others of the batch; BatchNorm"),
        (mocov3.MoCoV3(), "negatives are the others of the batch; BatchNorm"),
        (contrastivecrop.ContrastiveCrop(queue=8), "shuffled over the batch"),
        (Finetune(mixup=0.8), "mixup and CutMix mix images of the batch"),
        (supervised.Swin(cutmix=1.0), "mixup and CutMix mix images of the batch"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_needs_its_batch_is_refused_with_the_reason(method: Any, reason: str) -> None:
    task = _task(method)
    with pytest.raises(backward.IndivisibleError, match=f"whole batch of 8 .*{reason}"):
        backward.check(task, 4, 8)
    backward.check(task, 8, 8)


def test_a_frozen_resnet_takes_no_statistics() -> None:
    backward.check(_task(supervised.ResNet50(frozen=True)), 1, 8)


def test_a_task_that_says_nothing_is_refused_and_so_is_dropout() -> None:
    with pytest.raises(backward.IndivisibleError, match=r"needs_whole\); micro.*|dropout"):
        backward.check(toy.Toy(), 2, 4)
    silent = toy.Toy()
    silent.needs_whole = None
    assert backward.obstacle(silent.train()) == "dropout is drawn for the batch at once"


def _job(folder: Path, task: Task, size: int | None) -> Job:
    recipe = dataclasses.replace(
        mae.stages()[0].recipe, epochs=2, batch_size=4, warmup_epochs=0, clip_norm=1.0
    )
    images = dataclasses.replace(toy.images(), size=32)
    return Job(
        task=task,
        recipe=recipe,
        train=images,
        stream="micro",
        checkpoints=Checkpoints(folder, "micro"),
        micro_batch=size,
    )


def test_a_training_in_parts_learns_the_same(tmp_path: Path) -> None:
    whole = fit(_job(tmp_path / "whole", _task(mae.MAE()), None))
    parts = fit(_job(tmp_path / "parts", _task(mae.MAE()), 3))
    for first, second in zip(whole, parts, strict=True):
        assert second == pytest.approx(first, rel=1e-4)


def test_a_training_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(backward.IndivisibleError, match="BatchNorm"):
        fit(_job(tmp_path, _task(supervised.ResNet50()), 2))


class Hungry(Task):
    """Wants more memory than there is for more than three images."""

    needs_whole = None

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        if len(batch.labels) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"total": torch.zeros((), requires_grad=True)}


def test_memory_that_runs_out_halves_the_parts() -> None:
    lines: list[str] = []

    def attempt(size: int | None) -> int:
        batch = tiny.batch(16)
        backward.backward(Hungry(), batch, tiny.progress(), size)
        return len(batch.labels)

    found = backward.within_memory(attempt, size=None, batch=16, tell=lines.append)
    assert found == (16, 2)
    assert [line.split()[-1] for line in lines] == ["8", "4", "2"]


def test_memory_for_not_even_one_image_is_an_error() -> None:
    def attempt(size: int | None) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        backward.within_memory(attempt, size=4, batch=16, tell=lambda line: None)


@pytest.mark.slow
def test_a_stage_that_runs_out_of_memory_goes_on_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = backward.backward

    def small(
        task: Task, batch: Batch, at: StepContext, size: int | None, shadows: Shadows | None
    ) -> dict[str, Tensor]:
        if (size or len(batch.labels)) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(task, batch, at, size, shadows)

    monkeypatch.setattr(backward, "backward", small)
    made = plans.of_table1("vit", "resnet50", root=tmp_path, overrides=plans.ONE_EPOCH)
    outcome = Executor(torch.device("cpu")).execute(made, Shown())
    assert outcome.trained == 1
    vit = next(s for s in made.stage_runs if type(s.stage.method) is Finetune)
    record = Records(made.options.runs).read(vit.key)
    assert record is not None
    assert record.provenance.micro_batch == 8
    assert "micro_batch" not in json.dumps(record.definition)
    assert [str(r.error).partition("(")[0] for r in outcome.failed] == [
        "IndivisibleError: out of memory with 32 images at once, and Supervised needs its whole"
        " batch of 32 at once "
    ]

"""The training loop: exact resume, divergence by step, hooks, and orders of images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness import seed
from harness.augment.view import Augmentation
from harness.errors import UserError
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints, load_weights
from harness.train.images import Images, epoch_order
from harness.train.loop import DivergedError, Job, fit
from harness.train.task import Batch, DatasetPass, StepContext, Task

KEY = "k" * 64


class Toy(Task):
    """A linear classifier with dropout, a map renewed by looking, and a count of steps."""

    def __init__(self, explode_at: int | None = None) -> None:
        super().__init__()
        self.augmentations = (Augmentation(),)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(3 * 8 * 8, 2)
        self.map: Tensor = torch.zeros(0)
        self.steps = 0
        self.explode_at = explode_at

    def before_epoch(self, epoch: int, look: DatasetPass) -> None:
        if epoch % 2 == 0:
            self.map = look(lambda images: images.mean((1, 2, 3)))

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        logits = self.head(self.dropout(batch.images[0].flatten(1)))
        loss = nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        noise = torch.rand(len(loss), generator=at.generator)
        total = (loss * (noise + self.map[batch.ids].abs())).mean()
        if self.explode_at == self.steps:
            total = total * float("nan")
        return {"total": total}

    def after_step(self, at: StepContext) -> None:
        self.steps += 1

    def predict(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        return logits

    def get_extra_state(self) -> dict[str, Tensor | int]:
        return {"map": self.map, "steps": self.steps}

    def set_extra_state(self, state: dict[str, Tensor | int]) -> None:
        self.map, self.steps = state["map"], state["steps"]  # type: ignore[assignment]


def _images(count: int = 22) -> Images:
    generator = torch.Generator().manual_seed(1)
    return Images(
        pixels=torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 2,
        sizes=torch.full((count, 2), 16),
        names=tuple(map(str, range(count))),
        size=8,
    )


def _job(folder: Path, epochs: int = 4, **changes: object) -> Job:
    torch.manual_seed(0)
    recipe = Recipe(epochs=epochs, batch_size=4, base_lr=0.1, warmup_epochs=1)
    values: dict[str, object] = {
        "task": Toy(),
        "recipe": recipe,
        "train": _images(),
        "stream": KEY,
        "checkpoints": Checkpoints(folder, KEY, overhead=1e9),  # after every epoch
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_resume_is_exact(tmp_path: Path, stop: int) -> None:
    whole = _job(tmp_path / "whole")
    history = fit(whole)

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == stop + 1:
            raise _Killed

    first = _job(tmp_path / "parts", watch=kill)
    with pytest.raises(_Killed):
        fit(first)
    second = _job(tmp_path / "parts")
    assert fit(second) == history
    for name, value in whole.task.state_dict().items():
        other = second.task.state_dict()[name]
        if isinstance(value, Tensor):
            assert torch.equal(value, other), name
    assert second.task.steps == whole.task.steps  # type: ignore[attr-defined]


def test_global_randomness_is_restored(tmp_path: Path) -> None:
    job = _job(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(job)
    assert torch.equal(torch.rand(1), expected)


def test_divergence_names_the_step_and_leaves_no_epoch_behind(tmp_path: Path) -> None:
    job = _job(tmp_path, task=Toy(explode_at=7))
    with pytest.raises(DivergedError, match=r"'total' is nan at epoch 1, step 2 of 5"):
        fit(job)
    state = Checkpoints(tmp_path, KEY).load()
    assert state is not None
    assert len(state["history"]) == 1


def test_evaluation_is_remembered_across_a_resume(tmp_path: Path) -> None:
    memory: dict[str, object] = {}

    def evaluate(epoch: int) -> dict[str, float]:
        memory["best_epoch"] = min(epoch, 1)
        return {"eval/accuracy": 0.5}

    fit(_job(tmp_path, epochs=4, evaluate=evaluate, memory=memory))
    restored: dict[str, object] = {}
    history = fit(_job(tmp_path, epochs=4, memory=restored))
    assert restored == {"best_epoch": 1}
    assert [h["eval/accuracy"] for h in history] == [0.5] * 4


def test_orders() -> None:
    recipe = Recipe(epochs=3, batch_size=4, base_lr=1.0)
    first, second = (epoch_order(22, recipe, KEY, e) for e in (0, 1))
    assert first.shape == (5, 4)
    assert len(first.unique()) == 20
    assert not torch.equal(first, second)
    fixed = Recipe(epochs=3, batch_size=4, base_lr=1.0, order="fixed")
    assert torch.equal(epoch_order(22, fixed, KEY, 0), epoch_order(22, fixed, KEY, 2))
    with pytest.raises(UserError, match="only 3 training images"):
        epoch_order(3, recipe, KEY, 0)


def test_seeds_depend_on_every_name_and_their_order() -> None:
    seeds = {
        seed.derive(*names)
        for names in [("a", "b"), ("b", "a"), ("ab",), ("a", "b", 0), ("a", "b", "0"), ("a,b",)]
    }
    assert len(seeds) == 6
    # A golden value: a change here would change every number that was ever made.
    assert seed.derive("a", 1) == 697930202312019326


def test_truncated_foreign_and_old_checkpoints_are_named(tmp_path: Path) -> None:
    job = _job(tmp_path)
    fit(job)
    path = job.checkpoints.state_path
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cannot be read \(truncated\?\).*--fresh"):
        fit(_job(tmp_path))
    torch.save({"format": 0, "key": KEY}, path)
    with pytest.raises(UserError, match="has format 0, this version reads 1"):
        fit(_job(tmp_path))


def test_weights_are_checked_against_the_record(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, KEY)
    weights = {"w": torch.arange(3.0)}
    digest = checkpoints.finish(weights)
    assert torch.equal(load_weights(tmp_path, KEY, digest)["w"], weights["w"])
    assert Checkpoints(tmp_path, KEY).finish(weights) == digest
    with pytest.raises(UserError, match="not those that the record names"):
        load_weights(tmp_path, KEY, "0" * 64)

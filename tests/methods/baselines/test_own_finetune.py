"""Every method's own published fine-tuning: its numbers, its wiring into Table 1, and a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import seed
from harness.errors import UserError
from harness.methods.baselines import amt, contrastivecrop, mae, mocov3, simclr, simmim
from harness.methods.msmae import paper
from harness.plan import catalog, override, plan
from harness.plan.options import Options
from harness.spec import profiles
from harness.spec.recipe import Stage
from harness.store.checkpoint import Checkpoints
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.optimizer import parameter_groups
from harness.train.task import Task
from tests import tiny

OWN: dict[str, Callable[[], Stage]] = {
    "mae": mae.own_finetune,
    "amt": amt.own_finetune,
    "mocov3": mocov3.own_finetune,
    "simmim": simmim.own_finetune,
    "simclr": simclr.own_finetune,
    "contrastivecrop": contrastivecrop.own_finetune,
}
PRETRAINED = {
    "mae": mae,
    "amt": amt,
    "mocov3": mocov3,
    "simmim": simmim,
    "simclr": simclr,
    "contrastivecrop": contrastivecrop,
}
every_recipe = pytest.mark.parametrize("name", OWN)

ADAMW = {"optimizer": "adamw", "betas": (0.9, 0.999), "weight_decay": 0.05, "decay_all": False}
# What is published, at batch 256: the peak rate is lr, not the base.
RECIPES: dict[str, dict[str, Any]] = {
    "mae": ADAMW
    | {"lr": 5e-4, "layer_decay": 0.65, "warmup_epochs": 5, "warmup_lr": 0.0, "min_lr": 1e-6}
    | {"epochs": 100, "clip_norm": None, "schedule": "cosine"},
    "amt": ADAMW
    | {"lr": 1e-3, "layer_decay": 0.75, "warmup_epochs": 5, "warmup_lr": 0.0, "min_lr": 1e-6}
    | {"epochs": 100, "clip_norm": None, "schedule": "cosine"},
    "mocov3": ADAMW
    | {"lr": 2.5e-4, "layer_decay": None, "warmup_epochs": 5, "warmup_lr": 1e-6, "min_lr": 1e-5}
    | {"epochs": 150, "clip_norm": None, "schedule": "cosine"},
    "simmim": ADAMW
    | {"lr": 6.25e-4, "layer_decay": 0.9, "warmup_epochs": 20, "epochs": 100, "clip_norm": 5.0}
    | {"warmup_lr": 1.25e-7, "min_lr": 1.25e-7, "schedule": "cosine-whole"},
    "simclr": {"optimizer": "lars", "lr": 0.08, "momentum": 0.9, "weight_decay": 0.0}
    | {"warmup_epochs": 0, "epochs": 60, "schedule": "cosine", "min_lr": 0.0},
    "contrastivecrop": {"optimizer": "sgd", "lr": 30.0, "momentum": 0.9, "weight_decay": 0.0}
    | {"warmup_epochs": 0, "epochs": 100, "schedule": "steps", "milestones": (60, 80)},
}
MIXED = {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1, "drop_path": 0.1}
BARE = {"mixup": 0.0, "cutmix": 0.0, "label_smoothing": 0.0}
METHODS: dict[str, dict[str, Any]] = {
    "mae": MIXED | {"pool": "mean", "head_std": 2e-5, "masks": False},
    "amt": MIXED | {"pool": "mean", "head_std": 2e-5, "masks": False},
    "mocov3": MIXED | {"pool": "class", "head_std": 0.02, "masks": False},
    "simmim": MIXED,
    "simclr": BARE | {"head_std": 0.0, "decay_head": False, "frozen": False},
    "contrastivecrop": BARE | {"head_std": 0.01, "frozen": True},
}


@every_recipe
def test_numbers_are_those_published(name: str) -> None:
    stage = OWN[name]()
    assert stage.phase == "finetune"
    assert stage.recipe.batch_size == 256
    for field, value in RECIPES[name].items():
        assert getattr(stage.recipe, field) == pytest.approx(value), field
    method: Any = stage.method
    for field, value in METHODS[name].items():
        assert getattr(method, field) == value, field
    assert method.evaluation == "centre-crop"
    view = method.augmentation
    assert (view.scale, view.flip, view.colour) == ((0.08, 1.0), 0.5, None)
    assert view.interpolation == ("bilinear" if name == "contrastivecrop" else "bicubic")
    if METHODS[name]["mixup"]:
        drawn = view.operations
        assert (drawn.operations, drawn.probability) == (2, 0.5)
        assert (drawn.magnitude, drawn.deviation) == (9.0, 0.5)
        assert (view.erasing.probability, view.erasing.area) == (0.25, (0.02, 1 / 3))
    else:
        assert view.operations is None
        assert view.erasing is None


def _table1(*overrides: str, rows: tuple[str, ...] | None = None) -> plan.Plan:
    _, table = catalog.load("table1")
    options = Options(
        profile=profiles.SMOKE,
        datasets=("phantom-mri",),
        overrides=overrides,
        rows=rows,
    )
    return plan.make("table1", table, options)


def test_table1_offers_them_to_every_pretrained_row() -> None:
    plain, own = _table1(), _table1("finetune=own")
    for before, after in zip(plain.cell_runs, own.cell_runs, strict=True):
        name, first, second = before.row.name, before.run, after.run
        if name in OWN:
            assert second.stages == (first.stages[0], profiles.SMOKE.scaled(OWN[name]()))
            assert second.key() != first.key()
            assert second.key(1) == first.key(1)
        else:
            assert second.key() == first.key()
    short = _table1("finetune=own", "finetune.recipe.epochs=5")
    for unit, before in zip(short.cell_runs, own.cell_runs, strict=True):
        tuned = len(unit.run.stages) > 1
        assert (unit.run.key() != before.run.key()) == tuned
        assert unit.run.stages[-1].recipe.epochs == (5 if tuned else 60)
    assert short.options.overrides == ("finetune=own", "finetune.recipe.epochs=5")
    with pytest.raises(UserError, match=r"No fine-tuning 'own'\. Known: none"):
        _table1("finetune=own", rows=("vit", "swin"))


def test_msmaes_own_recipe_is_the_tables() -> None:
    _, table = catalog.load("table1")
    row = next(row for row in table.rows if row.name == "msmae")
    assert override.finetunings([row], ["finetune=own"]) == [paper.described()]


def _images() -> Images:
    generator = torch.Generator().manual_seed(1)
    return Images(
        pixels=torch.randint(0, 256, (16, 1, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.arange(16) % 4,
        sizes=torch.full((16, 2), 64),
        names=tuple(map(str, range(16))),
        size=32,
    )


def _after_pretraining(name: str) -> Task:
    with seed.third_party("own", name, "build"):
        before = PRETRAINED[name].stages()[0].method.build(tiny.dataset(), tiny.ENCODERS)
        for parameter_name, parameter in before.named_parameters():
            if parameter_name.endswith("bn3.weight"):
                nn.init.ones_(parameter)  # SimCLR's start at 0; a pre-training moves them
        task = OWN[name]().method.build(tiny.dataset(), tiny.ENCODERS)
        task.start_from(before.state_dict())
    return task


class Predicts:
    """Evaluates by predicting, as evaluators do, and has nothing to remember."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def after_epoch(self, epoch: int) -> dict[str, float]:
        return {"at": float(self.task.predict(torch.zeros(2, 3, 32, 32)).detach().sum())}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert not state


@every_recipe
def test_two_epochs_train_what_is_to_be_trained(name: str, tmp_path: Path) -> None:
    task = _after_pretraining(name)
    before = {key: value.clone() for key, value in task.state_dict().items() if _is_tensor(value)}
    recipe = dataclasses.replace(
        OWN[name]().recipe, epochs=2, batch_size=8, warmup_epochs=0, milestones=(1,), min_lr=0.0
    )
    job = Job(
        task=task,
        recipe=recipe,
        train=_images(),
        stream=f"own-{name}",
        checkpoints=Checkpoints(tmp_path, name),
        evaluator=Predicts(task),
    )
    history = fit(job)
    assert len(history) == 2
    state = task.state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, state[key])}
    trained = {key for key, p in task.named_parameters() if p.requires_grad}
    assert trained <= moved
    if name == "contrastivecrop":
        # Neither parameters nor batch statistics of the encoder move.
        assert moved == trained == {"encoder.fc.weight", "encoder.fc.bias"}


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def test_simclrs_logits_start_at_zero_and_stay_out_of_the_adaptation() -> None:
    task = _after_pretraining("simclr")
    assert float(task.predict(torch.randn(2, 3, 32, 32)).detach().abs().max()) == 0
    groups = parameter_groups(task, simclr.own_finetune().recipe)
    adapted = {name for group in groups if group["adapted"] for name in group["names"]}
    assert "encoder.fc.weight" not in adapted
    assert "encoder.conv1.weight" in adapted
    assert not any("bn" in name or name.endswith("bias") for name in adapted)


@pytest.mark.parametrize("name", ["mae", "simmim"])
def test_mixing_draws_from_the_steps_generator_alone(name: str) -> None:
    task = _after_pretraining(name).eval()
    batch = tiny.batch()
    first, again, other = (
        float(task.losses(batch, tiny.progress(seed=s))["total"].detach()) for s in (0, 0, 1)
    )
    assert first == again
    assert first != other

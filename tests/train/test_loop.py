"""The training loop: exact resume, divergence by step, hooks, and orders of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from harness import seed
from harness.errors import UserError
from harness.methods.msmae import paper
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints
from harness.store.weights import load as load_weights
from harness.train.images import epoch_order
from harness.train.loop import DivergedError, fit
from harness.train.task import AugmentedPass, DatasetPass
from tests.train import toy


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_resume_is_exact(tmp_path: Path, stop: int) -> None:
    whole = toy.job(tmp_path / "whole")
    history = fit(whole)

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == stop + 1:
            raise _Killed

    first = toy.job(tmp_path / "parts", watch=kill)
    with pytest.raises(_Killed):
        fit(first)
    second = toy.job(tmp_path / "parts")
    assert fit(second) == history
    for name, value in whole.task.state_dict().items():
        other = second.task.state_dict()[name]
        if isinstance(value, Tensor):
            assert torch.equal(value, other), name
    assert second.task.steps == whole.task.steps  # type: ignore[attr-defined]


def test_global_randomness_is_restored(tmp_path: Path) -> None:
    job = toy.job(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(job)
    assert torch.equal(torch.rand(1), expected)


def test_divergence_names_the_step_and_leaves_no_epoch_behind(tmp_path: Path) -> None:
    job = toy.job(tmp_path, task=toy.Toy(explode_at=7))
    with pytest.raises(DivergedError, match=r"'total' is nan at epoch 1, step 2 of 5"):
        fit(job)
    state = Checkpoints(tmp_path, toy.KEY).load()
    assert state is not None
    assert len(state["history"]) == 1


class _Follows:
    """An evaluator that counts epochs."""

    def __init__(self) -> None:
        self.epochs = 0

    def after_epoch(self, epoch: int) -> dict[str, float]:
        assert epoch == self.epochs
        self.epochs += 1
        return {"eval/epochs": float(self.epochs)}

    def state_dict(self) -> dict[str, int]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.epochs = state["epochs"]


def test_an_evaluator_goes_on_where_it_was(tmp_path: Path) -> None:
    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 2:
            raise _Killed

    with pytest.raises(_Killed):
        fit(toy.job(tmp_path, evaluator=_Follows(), watch=kill))
    history = fit(toy.job(tmp_path, evaluator=_Follows()))
    assert [figures["eval/epochs"] for figures in history] == [1.0, 2.0, 3.0, 4.0]


def test_orders() -> None:
    recipe = Recipe(epochs=3, batch_size=4, base_lr=1.0)
    first, second = (epoch_order(22, recipe, toy.KEY, e) for e in (0, 1))
    assert first.shape == (5, 4)
    assert len(first.unique()) == 20
    assert not torch.equal(first, second)
    fixed = Recipe(epochs=3, batch_size=4, base_lr=1.0, order="fixed")
    assert torch.equal(epoch_order(22, fixed, toy.KEY, 0), epoch_order(22, fixed, toy.KEY, 2))
    with pytest.raises(UserError, match="only 3 training images"):
        epoch_order(3, recipe, toy.KEY, 0)


def test_a_fixed_order_is_that_of_the_released_sampler_in_all_stages() -> None:
    """The released code's sampler is torch's, seeded with 0 in both stages, epoch never set."""
    for count in (22, 1222):
        sampler = DistributedSampler(range(count), num_replicas=1, rank=0, shuffle=True, seed=0)  # type: ignore[arg-type]
        for batch in (4, 16):
            recipe = Recipe(epochs=3, batch_size=batch, base_lr=1.0, order="fixed")
            expected = torch.tensor([*sampler])[: count // batch * batch].view(-1, batch)
            for stage in ("pretrain's stream", "finetune's stream"):
                for epoch in (0, 2):
                    assert torch.equal(epoch_order(count, recipe, stage, epoch), expected)


def test_both_stages_of_the_released_code_leave_out_the_same_images() -> None:
    """1222 images: 6 are left out of batches of 64, and they are among the 198 of 256."""
    pretrain, finetune = (stage.recipe for stage in paper.released())
    everything = set(range(1222))
    left_out = [
        everything - set(epoch_order(1222, recipe, stream, 0).flatten().tolist())
        for recipe, stream in ((pretrain, "a"), (finetune, "b"))
    ]
    assert [len(images) for images in left_out] == [6, 198]
    assert left_out[0] < left_out[1]


def test_each_stage_can_have_a_fixed_order_of_its_own() -> None:
    recipe = Recipe(epochs=3, batch_size=4, base_lr=1.0, order="fixed", permutation="of-each-stage")
    first, second = (epoch_order(22, recipe, stage, 1) for stage in ("a", "b"))
    assert not torch.equal(first, second)
    # As version 0.1 drew it: the first permutation of the stage's own stream.
    expected = torch.randperm(22, generator=seed.generator("a", "order", 0))[:20].view(5, 4)
    assert torch.equal(first, expected)


def test_seeds_depend_on_every_name_and_their_order() -> None:
    seeds = {
        seed.derive(*names)
        for names in [("a", "b"), ("b", "a"), ("ab",), ("a", "b", 0), ("a", "b", "0"), ("a,b",)]
    }
    assert len(seeds) == 6
    # A golden value: a change here would change every number that was ever made.
    assert seed.derive("a", 1) == 697930202312019326


def test_weights_are_checked_against_the_record(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, toy.KEY)
    weights = {"w": torch.arange(3.0)}
    digest = checkpoints.finish(weights)
    assert torch.equal(load_weights(tmp_path, toy.KEY, digest)["w"], weights["w"])
    assert Checkpoints(tmp_path, toy.KEY).finish(weights) == digest
    with pytest.raises(UserError, match="not the one that the record names"):
        load_weights(tmp_path, toy.KEY, "0" * 64)


class _Measures(toy.Toy):
    """Measures the share of its training images that are mirrored in one more pass."""

    def after_epoch(
        self, epoch: int, look: DatasetPass, augmented: AugmentedPass
    ) -> dict[str, float]:
        assert not torch.is_grad_enabled()
        passed = list(augmented())
        ids = torch.cat([batch.ids for batch, _ in passed])
        assert ids.tolist() == list(range(22))
        assert {at.epoch for _, at in passed} == {epoch}
        flips = torch.cat([batch.flips[0] for batch, _ in passed])
        drawn = torch.rand(1, generator=passed[-1][1].generator)
        return {"flipped": float(flips.float().mean()), "drawn": float(drawn), "torch": _draw()}


def _draw() -> float:
    return float(torch.rand(1))


def test_a_task_measures_an_epoch_without_changing_a_draw(tmp_path: Path) -> None:
    plain = fit(toy.job(tmp_path / "plain"))
    torch.manual_seed(0)
    task = _Measures()
    measured = fit(toy.job(tmp_path / "measured", task=task))
    names = ("flipped", "drawn", "torch")
    assert [{k: v for k, v in h.items() if k not in names} for h in measured] == plain
    assert 0 < measured[0]["flipped"] < 1
    # Every epoch is augmented anew, and every training of the same stream alike.
    for name in names:
        assert len({h[name] for h in measured}) > 1
    torch.manual_seed(0)
    assert fit(toy.job(tmp_path / "again", task=_Measures())) == measured

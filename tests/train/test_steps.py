"""Steps that are compiled or recorded train as eager ones do; what cannot be either is eager."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import _stages
from harness import seed
from harness.store.checkpoint import Checkpoints
from harness.train import graphs, loop, steps
from harness.train.graphs import CannotCapture, put_together, taken_apart
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.optimizer import Rates, build_optimizer
from harness.train.task import StepContext
from tests import tiny

KINDS = {kind.name: kind for kind in _stages.kinds()}
CAPTURED = (
    *("mae", "msmae-described", "simmim", "simclr", "contrastivecrop"),
    *("finetune-sam", "setr"),
)


class Replayed:
    """A recording on the CPU: what was recorded is computed anew, into the tensors it returned."""

    def __init__(self, parameters: Callable[[], list[Tensor]], task: torch.nn.Module) -> None:
        self.parameters, self.task = parameters, task
        self.warmed = self.replayed = 0

    def warm(self, function: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        self.warmed += 1
        return function()

    def record(self, function: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Compute once and undo it, as recording changes no value."""
        state = {
            name: value.clone() for name, value in self.task.state_dict().items() if _is(value)
        }
        optimizer, random = self.parameters(), torch.get_rng_state()
        kept = [value.clone() for value in optimizer]
        self.function = function
        self.losses = {name: value.clone() for name, value in function().items()}
        self.gradients = [p.grad for p in self.task.parameters()]
        with torch.no_grad():
            for name, value in self.task.state_dict().items():
                if _is(value):
                    value.copy_(state[name])
            for value, before in zip(optimizer, kept, strict=True):
                value.copy_(before)
        torch.set_rng_state(random)
        return self.losses

    def replay(self) -> None:
        self.replayed += 1
        parameters = list(self.task.parameters())
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            assert parameter.grad is gradient
            parameter.grad = None
        for name, value in self.function().items():
            self.losses[name].copy_(value)
        for parameter, gradient in zip(parameters, self.gradients, strict=True):
            if gradient is not None:
                gradient.copy_(parameter.grad)
            parameter.grad = gradient


def _is(value: object) -> bool:
    return isinstance(value, Tensor)


def _images() -> Images:
    generator = torch.Generator().manual_seed(5)
    return Images(
        pixels=torch.randint(0, 256, (48, 3, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.arange(48) % 4,
        sizes=torch.randint(40, 90, (48, 2), generator=generator),
        names=tuple(map(str, range(48))),
        size=32,
        masks=torch.randint(0, 2, (48, 1, 64, 64), dtype=torch.uint8, generator=generator),
    )


def _job(name: str, folder: Path, **changes: Any) -> Job:
    stage = _stages.shortened(KINDS[name].stage, epochs=3)
    with seed.third_party("steps", "build"):
        method: Any = stage.method
        method = replace(method, queue=8) if hasattr(method, "queue") else method
        task = method.build(tiny.dataset(), tiny.ENCODERS)
    recipe = replace(stage.recipe, batch_size=8, lr_batch=None, base_lr=0.01, min_lr=0.0)
    values: dict[str, Any] = {
        "task": task,
        "recipe": recipe,
        "train": _images(),
        "stream": "steps",
        "checkpoints": Checkpoints(folder, "a" * 64, overhead=1e9),
    }
    return Job(**(values | changes))


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    """Let recordings be made on the CPU, and return them."""
    made: list[Replayed] = []
    plain = steps.obstacle
    monkeypatch.setattr(
        steps, "obstacle", lambda how, task, device, size: plain(how, task, _Cuda, size)
    )

    def recorded(eager: steps.Eager, device: torch.device, tell: steps.Tell) -> steps.Captured:
        del device

        def values() -> list[Tensor]:
            state = eager.optimizer.state.values()
            return [v for entry in state for v in entry.values() if isinstance(v, Tensor)]

        def new() -> Replayed:
            made.append(Replayed(values, eager.task))
            return made[-1]

        return steps.Captured(eager, graphs.Recordings(new), tell=tell)

    monkeypatch.setattr(loop, "captured", recorded)

    def rounded(optimizer: torch.optim.Optimizer, lr: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = float(torch.tensor(lr * group["factor"]))

    # Adam's rate is a tensor of float32 where steps are recorded.
    monkeypatch.setattr(steps, "set_learning_rate", rounded)
    # Draws are handed over as on a device: ``Batch.ahead`` is then a part of the recording.
    monkeypatch.setattr(loop, "packed", lambda draws, device: draws)
    return made


class _Cuda:
    type = "cuda"


def _trained(job: Job) -> tuple[list[dict[str, float]], list[Tensor]]:
    history = fit(job)
    return history, [p.detach().clone() for p in job.task.parameters()]


@pytest.mark.parametrize("name", CAPTURED)
def test_recorded_steps_train_as_eager_ones(
    name: str, tmp_path: Path, on_the_cpu: list[Replayed]
) -> None:
    eager = _job(name, tmp_path / "eager")
    captured = _job(name, tmp_path / "captured", steps="captured")
    history, weights = _trained(eager)
    other, others = _trained(captured)
    assert other == history
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    steps_in_all = captured.recipe.epochs * (len(captured.train) // captured.recipe.batch_size)
    assert sum(g.warmed + g.replayed for g in on_the_cpu) == steps_in_all
    assert sum(g.replayed for g in on_the_cpu) >= steps_in_all - len(on_the_cpu) * graphs.WARM_UP
    assert sum(g.replayed for g in on_the_cpu) > 0


def test_a_recorded_training_that_was_interrupted_goes_on_to_the_same_bits(
    tmp_path: Path, on_the_cpu: list[Replayed]
) -> None:
    whole = _trained(_job("mae", tmp_path / "whole", steps="captured"))
    first = _job("mae", tmp_path / "cut", steps="captured")

    def stop(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(replace(first, watch=stop))
    resumed = _trained(_job("mae", tmp_path / "cut", steps="captured"))
    assert resumed[0] == whole[0]
    assert all(torch.equal(a, b) for a, b in zip(resumed[1], whole[1], strict=True))


def test_steps_of_too_many_kinds_are_eager_and_told(
    tmp_path: Path, on_the_cpu: list[Replayed], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _job("mae", tmp_path / "many", steps="captured", tell=(told := []).append)

    def each(at: StepContext) -> Hashable:
        return at.epoch, at.step

    monkeypatch.setattr(type(job.task), "step_kind", lambda task, at: each(at))
    history, weights = _trained(job)
    eager, others = _trained(_job("mae", tmp_path / "eager"))
    assert told == [
        "steps are not captured, but launched one by one: the steps are of more than 4 kinds"
    ]
    assert history == eager
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


def test_a_recording_that_fails_leaves_eager_steps(
    tmp_path: Path, on_the_cpu: list[Replayed], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Replayed, function: object) -> Mapping[str, Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(Replayed, "record", fails)
    told: list[str] = []
    history, _ = _trained(_job("mae", tmp_path / "a", steps="captured", tell=told.append))
    eager, _ = _trained(_job("mae", tmp_path / "b"))
    assert history == eager
    assert told == [
        "steps are not captured, but launched one by one: operation not permitted when stream is"
        " capturing"
    ]


@pytest.mark.parametrize(
    ("name", "how", "size", "reason"),
    [
        ("mae", "captured", None, "graphs are recorded on CUDA devices, and this is 'cpu'"),
        ("mae", "captured", 4, "the batch is divided into micro-batches"),
        ("mae", "compiled", 4, "the batch is divided into micro-batches"),
    ],
)
def test_what_cannot_be_is_told_and_eager(
    name: str, how: steps.Steps, size: int | None, reason: str, tmp_path: Path
) -> None:
    told: list[str] = []
    job = _job(name, tmp_path / "a", steps=how, micro_batch=size, tell=told.append)
    eager = _job(name, tmp_path / "b", micro_batch=size)
    assert _trained(job)[0] == _trained(eager)[0]
    assert told == [f"steps are not {how}, but launched one by one: {reason}"]


def test_tasks_whose_steps_have_changing_numbers_are_not_recorded() -> None:
    cuda: Any = _Cuda
    with seed.third_party("steps", "build"):
        task = KINDS["mocov3"].stage.method.build(tiny.dataset(), tiny.ENCODERS)
    reason = str(steps.obstacle("captured", task, cuda, None))
    assert "does not say that its steps can be recorded" in reason


def test_mixed_images_are_told_to_be_launched_one_by_one(
    tmp_path: Path, on_the_cpu: list[Replayed]
) -> None:
    told: list[str] = []
    job = _job("finetune-own-mae", tmp_path / "a", steps="captured", tell=told.append)
    assert _trained(job)[0] == _trained(_job("finetune-own-mae", tmp_path / "b"))[0]
    assert told == [
        "steps are not captured, but launched one by one: the numbers in its operations change"
        " from step to step"
    ]
    assert on_the_cpu == []


def test_the_rates_of_recorded_steps_are_one_tensor() -> None:
    stage = KINDS["finetune-own-mae"].stage
    with seed.third_party("steps", "rates"):
        task = stage.method.build(tiny.dataset(), tiny.ENCODERS)
    optimizer = build_optimizer(task, stage.recipe, capturable=True)
    rates = Rates(optimizer)
    rates.set(0.5)
    found = [float(group["lr"]) for group in optimizer.param_groups]
    assert found == pytest.approx([0.5 * g["factor"] for g in optimizer.param_groups])
    held = {group["lr"].untyped_storage().data_ptr() for group in optimizer.param_groups}
    assert len(held) == 1 and len(set(found)) > 1


def test_a_tree_is_taken_apart_and_put_together() -> None:
    batch = replace(
        tiny.batch(4), ahead={"noise": torch.arange(3), "mixing": None}, drawn=torch.ones(2)
    )
    parts, rest = taken_apart(batch)
    others = [part + 1 for part in parts]
    built = put_together(batch, others)
    again, same = taken_apart(built)
    assert rest == same and all(torch.equal(a, b) for a, b in zip(again, others, strict=True))
    assert built.ahead["noise"].tolist() == [1, 2, 3] and built.ahead["mixing"] is None
    assert rest != taken_apart(replace(batch, ahead={"noise": torch.arange(3), "mixing": 1}))[1]
    assert issubclass(CannotCapture, RuntimeError)


def test_blocks_are_the_repeated_parts_of_an_encoder() -> None:
    for name, kind in (
        ("mae", "Block"),
        ("simmim", "SwinTransformerBlock"),
        ("simclr", "Bottleneck"),
    ):
        with seed.third_party("steps", name):
            task = KINDS[name].stage.method.build(tiny.dataset(), tiny.ENCODERS)
        found = steps.blocks_of(task)
        inner = {id(part) for block in found for part in block.modules() if part is not block}
        assert not inner & {id(block) for block in found}, kind


@pytest.mark.slow
def test_compiled_steps_agree_with_eager_ones_and_go_on_to_the_same_bits(tmp_path: Path) -> None:
    history, _ = _trained(_job("mae", tmp_path / "eager"))
    job = _job("mae", tmp_path / "compiled", steps="compiled", tell=pytest.fail)
    other, weights = _trained(job)
    assert other == [pytest.approx(one, rel=1e-4) for one in history]
    assert all(block._compiled_call_impl is None for block in steps.blocks_of(job.task))

    def stop(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(replace(_job("mae", tmp_path / "cut", steps="compiled"), watch=stop))
    resumed, again = _trained(_job("mae", tmp_path / "cut", steps="compiled"))
    assert resumed == other
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))

"""Draws made one step ahead are the same numbers, whatever happens to the training."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import _stages
from harness import seed
from harness.store.checkpoint import Checkpoints
from harness.train import ahead, pixels
from harness.train.ahead import pack
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.task import Batch, StepContext, Task
from tests import tiny
from tests.train import toy

KINDS = {kind.name: kind for kind in _stages.kinds()}
DRAWING = (
    *("msmae-described", "simmim", "mocov3", "contrastivecrop"),
    *("finetune-sam", "finetune-own-mae", "setr"),
)
"""Kinds that draw permutations, noise, masks, colours, boxes, rectangles and mixing weights."""


def _images() -> Images:
    generator = torch.Generator().manual_seed(5)
    return Images(
        pixels=torch.randint(0, 256, (24, 3, 64, 64), dtype=torch.uint8, generator=generator),
        labels=torch.arange(24) % 4,
        sizes=torch.randint(40, 90, (24, 2), generator=generator),
        names=tuple(map(str, range(24))),
        size=32,
        masks=torch.randint(0, 2, (24, 1, 64, 64), dtype=torch.uint8, generator=generator),
    )


def _job(name: str, folder: Path, size: int | None = None, **changes: Any) -> Job:
    stage = _stages.shortened(KINDS[name].stage, epochs=3)
    method: Any = stage.method
    method = replace(method, queue=8) if hasattr(method, "queue") else method
    with seed.third_party("ahead", "build"):
        task = method.build(tiny.dataset(), tiny.ENCODERS)
    recipe = replace(stage.recipe, batch_size=8, lr_batch=None, base_lr=0.01, min_lr=0.0)
    values: dict[str, Any] = {
        "task": task,
        "recipe": recipe,
        "train": _images(),
        "stream": "ahead",
        "checkpoints": Checkpoints(folder, "a" * 64, overhead=1e9),
        "micro_batch": size,
    }
    return Job(**(values | changes))


def _trained(job: Job) -> tuple[list[dict[str, float]], dict[str, Any]]:
    return fit(job), job.task.state_dict()


def _force(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the CPU be treated as a device; return the threads in which is drawn."""
    threads: list[str] = []
    plain = pack

    def noted(tree: Any, *, pinned: bool) -> Any:
        threads.append(threading.current_thread().name)
        return plain(tree, pinned=pinned)

    monkeypatch.setattr(ahead, "helps", lambda _: True)
    monkeypatch.setattr(ahead, "pack", noted)
    return threads


def _assert_same(first: Any, second: Any) -> None:
    assert first[0] == second[0]
    for name, value in first[1].items():
        other = second[1][name]
        assert torch.equal(value, other) if isinstance(value, Tensor) else True, name


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWING)
def test_draws_made_ahead_are_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _trained(_job(name, tmp_path / "plain"))
    threads = _force(monkeypatch)
    _assert_same(plain, _trained(_job(name, tmp_path / "ahead")))
    assert len([t for t in threads if t.startswith("draws")]) == 9  # steps


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 3])
def test_also_after_a_kill_and_in_micro_batches(
    size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _trained(_job("msmae-described", tmp_path / "plain", size))
    _force(monkeypatch)

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(_job("msmae-described", tmp_path / "ahead", size, watch=kill))
    _assert_same(plain, _trained(_job("msmae-described", tmp_path / "ahead", size)))


def test_a_task_that_draws_in_its_losses_is_drawn_when_its_step_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _trained(toy.job(tmp_path / "plain"))
    threads = _force(monkeypatch)
    _assert_same(plain, _trained(toy.job(tmp_path / "ahead")))
    assert set(threads) == {"MainThread"}


class Failing(toy.Toy):
    """A toy whose draws of the third step fail."""

    def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Tensor]:
        if at.step == 2:
            raise ValueError("no draw")
        return {"noise": torch.rand(count, generator=at.generator)}

    def losses(self, batch: Batch, at: StepContext) -> dict[str, Tensor]:
        assert batch.ahead is not None
        logits = self.head(batch.images[0].flatten(1))
        loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        return {"total": (loss * batch.ahead["noise"]).mean()}


def test_an_error_in_the_thread_is_raised_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _force(monkeypatch)
    task: Task = Failing()
    with pytest.raises(ValueError, match="no draw") as caught:
        fit(toy.job(tmp_path, task=task))
    assert "draw_ahead" in [
        frame.name for frame in traceback.extract_tb(caught.value.__traceback__)
    ]
    assert not [t for t in threading.enumerate() if t.name.startswith("draws")]


def test_an_error_of_a_step_ends_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _force(monkeypatch)

    def fail(*_: object) -> None:
        raise RuntimeError("of the step")

    task = Failing()
    monkeypatch.setattr(task, "after_step", fail)
    with pytest.raises(RuntimeError, match="of the step"):
        fit(toy.job(tmp_path, task=task))
    assert not [t for t in threading.enumerate() if t.name.startswith("draws")]


@dataclass(frozen=True)
class _Moved:
    moves: ClassVar[bool] = True

    flags: Tensor
    numbers: tuple[Tensor, ...]
    kept: str | None = None


@dataclass(frozen=True)
class _Decided:
    order: Tensor


def test_a_tree_is_packed_and_moved_by_one_copy() -> None:
    tree = {
        "moved": _Moved(
            torch.tensor([True, False, True]),
            (torch.arange(5.0, dtype=torch.float64), torch.empty(0), torch.tensor(7)),
            "kept",
        ),
        "decided": _Decided(torch.arange(6).view(2, 3).t()),
        "floats": (0.25, None),
    }
    packed = pack(tree, pinned=False)
    meta = packed.on(torch.device("meta"))
    assert meta["moved"].flags.device.type == meta["moved"].numbers[1].device.type == "meta"
    assert meta["decided"].order.device.type == "cpu"
    assert {part.untyped_storage().data_ptr() for part in meta["moved"].numbers} == {0}
    own = packed.buffer.untyped_storage().data_ptr()
    assert meta["decided"].order.untyped_storage().data_ptr() == own
    back = packed.on(torch.device("cpu"))
    assert torch.equal(back["moved"].flags, tree["moved"].flags)
    for found, given in zip(back["moved"].numbers, tree["moved"].numbers, strict=True):
        assert torch.equal(found, given)
        assert found.dtype == given.dtype
    assert torch.equal(back["decided"].order, tree["decided"].order)
    assert back["moved"].kept == "kept"
    assert back["floats"] == (0.25, None)


def test_images_in_a_file_are_read_with_the_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = toy.images()

    class Store:
        def __init__(self, rows: np.ndarray) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def take(self, rows: np.ndarray) -> Store:
            threads.add(threading.current_thread().name)
            return Store(self.rows[rows])

        def load(self, side: int) -> np.ndarray:
            assert isinstance(whole.pixels, Tensor)
            return whole.pixels.permute(0, 2, 3, 1).numpy()[self.rows]

    class Quiet(Failing):
        def draw_ahead(self, count: int, at: StepContext) -> Mapping[str, Tensor]:
            return {"noise": torch.rand(count, generator=at.generator)}

    threads: set[str] = set()
    plain = _trained(toy.job(tmp_path / "plain", task=_seeded(Quiet)))
    _force(monkeypatch)
    store = pixels.StoredPixels(Store(np.arange(22)), 16, torch.device("cpu"))  # type: ignore[arg-type]
    changed = toy.job(tmp_path / "file", task=_seeded(Quiet), train=replace(whole, pixels=store))
    _assert_same(plain, _trained(changed))
    assert any(name.startswith("draws") for name in threads)


def _seeded(kind: type[Task]) -> Task:
    torch.manual_seed(0)
    return kind()

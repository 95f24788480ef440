"""Time the steps of a stage as ``harness.train.loop.fit`` runs them, on images of noise."""

from __future__ import annotations

import gc
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from bench import _modes
from bench._stages import Kind, shortened
from harness import packages, seed
from harness.cost import estimate
from harness.data import registry
from harness.errors import UserError
from harness.spec.dataset import Dataset
from harness.spec.profile import Profile
from harness.spec.recipe import Stage
from harness.store.checkpoint import Checkpoints
from harness.train import loop
from harness.train.images import Images
from harness.train.task import Task, build_task

UNTIMED = 2
"""Epochs before the first that is timed: one with random masks, then the first with guided ones,
before which the attention maps are made."""

MARK = "bench: a step begins"

MAKING = tuple(name for name in ("draw", "cut_batch", "draw_batch") if hasattr(loop, name))
"""Functions by which the loop makes a batch; a step begins with the last one but ``draw``, whose
draws may be made in a thread while the step before runs."""
BEGINNING = "cut_batch" if "cut_batch" in MAKING else "draw_batch"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a measurement is.

    Attributes:
        profile: the sizes of models and images, and the scale of recipes.
        device: that trains.
        steps: of an epoch, at least 2.
        epochs: that are timed; their median counts.
        most: largest batch; None for the recipe's own.
        mode: how steps run, see ``bench._modes``.
        counted: whether kernel launches are counted in one more epoch (on CUDA only).
    """

    profile: Profile
    device: torch.device
    steps: int = 4
    epochs: int = 3
    most: int | None = None
    mode: str = "eager"
    counted: bool = True

    @property
    def last(self) -> int:
        """Number of the timed, the synchronised and the profiled epochs with those before."""
        cuda = self.device.type == "cuda"
        return UNTIMED + self.epochs + cuda + (cuda and self.counted)


def stage_of(kind: Kind, size: Size) -> Stage:
    """Return a kind's stage at a size, with one pass for attention maps, before the timed epochs.

    ``Profile.scaled`` is what a table's stages go through, too.
    """
    stage = shortened(size.profile.scaled(kind.stage), size.last)
    method: Any = stage.method
    if hasattr(method, "update_interval"):
        method = replace(method, update_interval=size.last)
    batch = min(stage.recipe.batch_size, size.most or stage.recipe.batch_size)
    return replace(stage, method=method, recipe=replace(stage.recipe, batch_size=batch))


def flops_per_image(stage: Stage, dataset: Dataset, profile_: Profile) -> float:
    """Return the FLOPs of a training step per image, as ``harness plan --cost`` counts them."""
    return estimate.size(stage, dataset, profile_.backbones).flops


def images_of(kind: Kind, size: Size, count: int, *, masks: bool) -> Images:
    """Return images of noise as a store of the profile's size holds them, on the device."""
    dataset = registry.find(kind.dataset)
    side, generator = size.profile.stored_size, seed.generator("bench", "images")
    shape = (count, dataset.channels, side, side)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    truth = None
    if masks:
        truth = torch.zeros((count, 1, side, side), dtype=torch.uint8)
        truth[:, :, side // 4 : side // 2, side // 4 : side // 2] = 1
    return Images(
        pixels=pixels.to(size.device),
        labels=(torch.arange(count) % len(dataset.classes)).to(size.device),
        sizes=torch.full((count, 2), 512),
        names=tuple(map(str, range(count))),
        size=size.profile.backbones.image_size,
        masks=None if truth is None else truth.to(size.device),
    )


class Unavailable(RuntimeError):
    """A mode that training does not offer, or not for a task on a device."""


class Unwritten(Checkpoints):
    """Checkpoints that are neither read nor written."""

    def load(self) -> None:
        """Return no state."""

    def due(self) -> bool:
        """Return that no state is to be written."""
        return False


@dataclass
class Clock:
    """Times epochs and their data path; what it does between them is not part of their times.

    Attributes:
        size: of the measurement.
        epochs: seconds of every epoch.
        data: seconds in the functions of ``MAKING``, of every epoch; on CUDA only those of the
            synchronised epoch mean something.
        counts: kernel launches and others by name, see ``per_step``; None without CUDA.
    """

    size: Size
    epochs: list[float] = field(default_factory=list)
    data: list[float] = field(default_factory=list)
    counts: dict[str, float] | None = None
    _profile: Any = None
    _begin: float = 0.0

    def start(self) -> None:
        """Begin the first epoch."""
        self.data.append(0.0)
        self._begin = self._now()

    def __call__(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """End an epoch and begin the next; this is the loop's ``watch``."""
        del figures
        self.epochs.append(self._now() - self._begin)
        if self._profile is not None:
            self._profile.stop()
            self.counts = per_step(events_of(self._profile))
            self._profile = None
        elif self.profiles(epoch + 1) and epoch + 1 < epochs:
            self._profile = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
            self._profile.start()
        self.start()

    def profiles(self, epoch: int) -> bool:
        """Whether an epoch is the profiled one, which no time is taken from."""
        cuda = self.size.device.type == "cuda"
        return cuda and self.size.counted and epoch == UNTIMED + self.size.epochs + 1

    @property
    def synchronised(self) -> int:
        """Number of the epoch from which the data path's share is taken."""
        return UNTIMED + self.size.epochs if self.size.device.type == "cuda" else -1

    def _now(self) -> float:
        if self.size.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextmanager
    def making(self, name: str) -> Iterator[None]:
        """Add the time of a function of ``MAKING`` to that of the data path.

        What another thread does costs no step any time, unless the step waits for it; that is in
        the epoch's time.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with record_function(MARK) if name == BEGINNING else nullcontext():
            waits = len(self.epochs) == self.synchronised
            begin = self._now() if waits else time.perf_counter()
            yield
            self.data[-1] += (self._now() if waits else time.perf_counter()) - begin

    @property
    def timed(self) -> list[float]:
        """Seconds of the timed epochs."""
        return self.epochs[UNTIMED : UNTIMED + self.size.epochs]

    @property
    def data_share(self) -> float:
        """Share of the data path in the time of an epoch."""
        if self.size.device.type == "cuda":
            return self.data[self.synchronised] / self.epochs[self.synchronised]
        return sum(self.data[UNTIMED : UNTIMED + self.size.epochs]) / sum(self.timed)


LAUNCH = re.compile(r"cu(da)?Launch(Cooperative)?Kernel")
COPY = re.compile(r"cu(da)?Mem(cpy|set)")
SYNC = re.compile(r"cu(da)?(Stream|Device|Event|Ctx)Synchronize|cudaMemcpy$")


def events_of(profiled: profile) -> list[tuple[str, float]]:
    """Return names and beginnings of what a profile saw on the host, calls to CUDA included.

    Kineto repeats annotations such as ``MARK`` on the device's time line; these are left out.
    """
    return [
        (event.name, event.time_range.start)
        for event in profiled.events()
        if event.device_type == DeviceType.CPU
    ]


def per_step(events: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Count a profile's calls to CUDA per step, between the beginnings of its first and last step.

    What happens at the ends of an epoch (order, means of losses) is left out.

    Args:
        events: names and beginnings of the profile's events; a step begins with ``MARK``.

    Returns:
        launches of kernels, launches of graphs, copies (with settings of memory) and waits for
        the device ("syncs").
    """
    events = list(events)
    marks = sorted(begin for name, begin in events if name == MARK)
    assert len(marks) >= 2, "a profile of fewer than two steps"
    counts = Counter({"launches": 0, "graphs": 0, "copies": 0, "syncs": 0})
    for name, begin in events:
        if not marks[0] <= begin < marks[-1]:
            continue
        counts["launches"] += bool(LAUNCH.match(name))
        counts["graphs"] += name in ("cudaGraphLaunch", "cuGraphLaunch")
        counts["copies"] += bool(COPY.match(name))
        counts["syncs"] += bool(SYNC.match(name))
    return {name: count / (len(marks) - 1) for name, count in counts.items()}


def run(kind: Kind, size: Size) -> tuple[Stage, Clock]:
    """Train a kind of stage for a few epochs at a size; return the stage and the times.

    Raises:
        Unavailable: training does not offer the mode, or told that steps were eager instead.
        torch.OutOfMemoryError: the batch does not fit the device.
    """
    chosen = _modes.setting(size.mode)
    if chosen is None:
        raise Unavailable("harness.train does not offer this mode")
    lines: list[str] = []
    stage, dataset = stage_of(kind, size), registry.find(kind.dataset)
    batch = stage.recipe.batch_size
    described = replace(dataset, sizes={**dataset.sizes, "train": batch * size.steps})
    with seed.third_party("bench", "build"):
        task: Task = build_task(stage.method, described, size.profile.backbones)
    task = task.to(size.device)
    train = images_of(kind, size, batch * size.steps, masks=task.needs_masks)
    clock = Clock(size)
    with tempfile.TemporaryDirectory() as folder, _watched(clock):
        job = loop.Job(
            task=task,
            recipe=stage.recipe,
            train=train,
            stream="bench",
            checkpoints=Unwritten(Path(folder), "bench"),
            watch=clock,
            **chosen,
            **_modes.listener(lines),
        )
        clock.start()
        loop.fit(job)
    if lines and size.mode != "eager":
        raise Unavailable(lines[0])
    return stage, clock


@contextmanager
def _watched(clock: Clock) -> Iterator[None]:
    """Time what makes the loop's batches inside the block."""
    before = {name: getattr(loop, name) for name in MAKING}

    def timed(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with clock.making(name):
                return before[name](*args, **kwargs)

        return call

    for name in MAKING:
        setattr(loop, name, timed(name))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(loop, name, function)


def median(values: Sequence[float]) -> float:
    """Return the middle of some values, of an even number the larger one of the middle two."""
    return sorted(values)[len(values) // 2]


def measured(kind: Kind, size: Size) -> dict[str, Any]:
    """Return the speed of a kind of stage as plain JSON values, or why it was not measured."""
    told: dict[str, Any] = {"kind": kind.name, "mode": size.mode}
    cuda = size.device.type == "cuda"
    try:
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        with packages.explained():
            stage, clock = run(kind, size)
    except Unavailable as reason:
        return {**told, "skipped": f"not available: {reason}"}
    except UserError as error:
        return {**told, "skipped": str(error)}
    except torch.OutOfMemoryError:
        return {**told, "skipped": "the batch does not fit the device's memory"}
    finally:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
    seconds = median(clock.timed) / size.steps
    batch = stage.recipe.batch_size
    counts: Mapping[str, float | None] = clock.counts or dict.fromkeys(("launches", "syncs"))
    return {
        **told,
        "batch": batch,
        "step_ms": 1000 * seconds,
        "step_ms_range": [1000 * s / size.steps for s in (min(clock.timed), max(clock.timed))],
        "images_per_s": batch / seconds,
        "data_share": clock.data_share,
        **counts,
        "warm_up_s": sum(clock.epochs[:UNTIMED]),
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
    }

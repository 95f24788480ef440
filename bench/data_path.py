"""Time of the data path (crop, flip, normalise) relative to a masked pre-training epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench._paired import ratio
from harness.methods.baselines.mae import MAE
from harness.methods.msmae.method import MSMAE
from harness.spec import profiles
from harness.spec.dataset import Dataset
from harness.spec.recipe import Recipe
from harness.train.images import Images, draw_batch
from harness.train.optimizer import build_optimizer
from harness.train.task import StepContext, build_task

COUNT, BATCH = 5712, 64
"""Number of BTMD's training images, and the batch size of Table 4."""


def measure() -> Iterator[dict]:
    """Yield data path / epoch for MAE and MSMAE at laptop size, in interleaved whole epochs."""
    backbones = profiles.LAPTOP.backbones
    generator = torch.Generator().manual_seed(0)
    side = 2 * backbones.image_size
    for channels in (1, 3):
        shape = (COUNT, channels, side, side)
        train = Images(
            pixels=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
            labels=torch.arange(COUNT) % 4,
            sizes=torch.full((COUNT, 2), 512),
            names=tuple(map(str, range(COUNT))),
            size=backbones.image_size,
        )
        for method in (MAE(), MSMAE()):
            task = build_task(method, _dataset(), backbones)
            optimizer = build_optimizer(task, Recipe(epochs=1, batch_size=BATCH, base_lr=1e-3))

            def data(task: object = task, train: Images = train) -> None:
                for rows, context in _steps(generator):
                    draw_batch(task, train, rows, context)  # type: ignore[arg-type]

            def epoch(
                task: object = task, train: Images = train, optimizer: object = optimizer
            ) -> None:
                for rows, context in _steps(generator):
                    batch = draw_batch(task, train, rows, context)  # type: ignore[arg-type]
                    task.losses(batch, context)["total"].backward()  # type: ignore[attr-defined]
                    optimizer.step()  # type: ignore[attr-defined]
                    optimizer.zero_grad()  # type: ignore[attr-defined]

            name = f"{type(method).__name__}, {channels} channels: data path / epoch"
            threads = torch.get_num_threads()
            yield {"what": name, "threads": threads, **ratio(data, epoch, rounds=3)}


def _steps(generator: torch.Generator) -> Iterator[tuple[torch.Tensor, StepContext]]:
    """Yield the rows and context of each step of an epoch."""
    order = torch.randperm(COUNT, generator=generator)
    steps = COUNT // BATCH
    for step in range(steps):
        context = StepContext(epoch=60, epochs=300, step=step, steps=steps, generator=generator)
        yield order[step * BATCH : (step + 1) * BATCH], context


def _dataset() -> Dataset:
    from harness.data import registry

    return registry.find("btmd")

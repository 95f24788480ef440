"""A tiny task and trainings of it, in which everything that can be random is."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from harness.augment.view import Augmentation
from harness.spec.recipe import Recipe
from harness.store.checkpoint import Checkpoints
from harness.train.images import Images
from harness.train.loop import Job
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


def images(count: int = 22) -> Images:
    """Return grey noise of two classes, stored twice as large as it is shown."""
    generator = torch.Generator().manual_seed(1)
    return Images(
        pixels=torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 2,
        sizes=torch.full((count, 2), 16),
        names=tuple(map(str, range(count))),
        size=8,
    )


def job(folder: Path, epochs: int = 4, **changes: object) -> Job:
    """Return a training of Toy that writes a checkpoint after every epoch."""
    torch.manual_seed(0)
    recipe = Recipe(epochs=epochs, batch_size=4, base_lr=0.1, warmup_epochs=1)
    values: dict[str, object] = {
        "task": Toy(),
        "recipe": recipe,
        "train": images(),
        "stream": KEY,
        "checkpoints": Checkpoints(folder, KEY, overhead=1e9),  # after every epoch
    }
    return Job(**(values | changes))  # type: ignore[arg-type]

"""Speed of contrastive pre-training: augmentation per step, against torchvision, and momentum.

torchvision's batched call (``transforms.v2`` on a (B, C, H, W) tensor) is not comparable: it draws
one crop, one jitter and one blur per call for the whole batch, whereas contrastive learning needs
them per image. kornia draws per image, but would be another heavy dependency, and took 1.6 times as
long (kornia 0.9.0, two RGB SimCLR views at 64 px, one thread).

torchvision runs in a loader's workers, which need cores of their own: on a busy machine they slow
down more than the batched augmentation here, so measure on an idle one.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from bench._paired import ratio
from harness.augment.view import MEAN, STD
from harness.data import registry
from harness.methods.baselines import contrastivecrop, mocov3, simclr
from harness.methods.baselines._momentum import follow, frozen_copy
from harness.methods.msmae.vit import VisionTransformer
from harness.spec import profiles
from harness.spec.backbones import BackboneSizes
from harness.spec.profile import OVERSAMPLING
from harness.spec.recipe import Stage
from harness.train.images import Images, draw_batch
from harness.train.loop import look
from harness.train.optimizer import build_optimizer
from harness.train.task import StepContext, Task, build_task

BATCH, FEW, MANY = 64, 4 * 64, 16 * 64
"""Batch of the laptop profile, and images per timing: few for slow steps, many for loaders."""

STAGES: dict[str, Stage] = {
    "MoCo v3": mocov3.stages()[0],
    "SimCLR": simclr.stages()[0],
    "ContrastiveCrop": contrastivecrop.stages()[0],
}


def measure() -> Iterator[dict]:
    """Yield augmentation / step (goal: at most 0.25), torchvision / ours (at least 3), momentum."""
    threads = {"threads": torch.get_num_threads()}
    for channels in (3, 1):
        for name, stage in STAGES.items():
            title = f"{name}, {channels} channels: augmentation / step"
            yield {"what": title, **threads, **_share(stage, _images(channels, FEW))}
    for channels in (3, 1):
        title = f"two SimCLR views, {channels} channels: torchvision, 2 workers / ours"
        yield {"what": title, **threads, **_against_torchvision(_images(channels, MANY))}
    for profile in (profiles.LAPTOP, profiles.PAPER):
        title = f"momentum of the {profile.name} ViT: a loop over parameters / follow"
        yield {"what": title, **threads, **_momentum(profile.backbones)}


def _images(channels: int, count: int) -> Images:
    """Return images of noise at the laptop profile's size."""
    size = profiles.LAPTOP.backbones.image_size
    generator = torch.Generator().manual_seed(0)
    side = OVERSAMPLING * size
    shape = (count, channels, side, side)
    return Images(
        pixels=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        labels=torch.arange(count) % 4,
        sizes=torch.full((count, 2), 512),
        names=tuple(map(str, range(count))),
        size=size,
    )


def _share(stage: Stage, train: Images) -> dict:
    """Compare an epoch's augmentation with its whole training steps."""
    task, generator = _task(stage), torch.Generator().manual_seed(0)
    optimizer = build_optimizer(task, profiles.LAPTOP.scaled(stage).recipe)
    # At epoch 60 ContrastiveCrop has computed its boxes, as in most of its epochs.
    task.before_epoch(60, lambda function: look(task, train, function))

    def data() -> None:
        for rows, context in _steps(len(train), generator):
            draw_batch(task, train, rows, context)

    def steps() -> None:
        for rows, context in _steps(len(train), generator):
            task.losses(draw_batch(task, train, rows, context), context)["total"].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            task.after_step(context)

    steps()
    return ratio(data, steps, rounds=9)


def _task(stage: Stage) -> Task:
    return build_task(stage.method, registry.find("btmd"), profiles.LAPTOP.backbones).train()


def _steps(count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, StepContext]]:
    """Yield the rows and context of each step of an epoch."""
    order = torch.randperm(count, generator=generator).view(-1, BATCH)
    for step, rows in enumerate(order):
        yield (
            rows,
            StepContext(epoch=60, epochs=300, step=step, steps=len(order), generator=generator),
        )


def _against_torchvision(train: Images) -> dict:
    """Compare torchvision in two loader workers with the batched augmentation."""
    task, generator = _task(STAGES["SimCLR"]), torch.Generator().manual_seed(0)
    loader = DataLoader(
        _TwoViews(train), batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True
    )

    def torchvision_views() -> None:
        for _ in loader:
            pass

    def batched_views() -> None:
        for rows, context in _steps(len(train), generator):
            draw_batch(task, train, rows, context)

    torchvision_views()  # starts the workers
    batched_views()
    return ratio(torchvision_views, batched_views, rounds=9)


class _TwoViews(Dataset):
    """Data set of pairs of SimCLR views, augmented by torchvision image by image."""

    def __init__(self, train: Images) -> None:
        self.pixels = train.pixels
        kernel = train.size // 10 // 2 * 2 + 1  # odd, a tenth of the side
        jitter = v2.ColorJitter(0.8, 0.8, 0.8, 0.2)
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(
                    train.size, (0.08, 1.0), interpolation=v2.InterpolationMode.BICUBIC
                ),
                v2.RandomHorizontalFlip(),
                v2.RGB(),
                v2.RandomApply([jitter], p=0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], p=0.5),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> list[Tensor]:
        return [self.transform(self.pixels[row]) for _ in range(2)]


def _momentum(backbones: BackboneSizes) -> dict:
    """Compare a loop over parameters with ``follow``, the batched momentum update."""
    model = VisionTransformer(backbones.vit, backbones.image_size)
    momentum_model = frozen_copy(model)

    @torch.no_grad()
    def loop() -> None:
        for target, source in zip(momentum_model.parameters(), model.parameters(), strict=True):
            target.mul_(0.99).add_(source, alpha=0.01)

    repetitions = 10 if backbones is profiles.PAPER.backbones else 200
    return ratio(
        _repeat(loop, repetitions),
        _repeat(lambda: follow(momentum_model, model, 0.99), repetitions),
        rounds=9,
    )


def _repeat(function: object, times: int) -> object:
    def repeated() -> None:
        for _ in range(times):
            function()  # type: ignore[operator]

    return repeated

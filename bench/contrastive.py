"""The data path of contrastive pre-training: its share of a step, against torchvision, momentum.

torchvision's own batched call (``transforms.v2`` on a (B, C, H, W) tensor) is no rival: it draws
one crop, one jitter and one blur a call, the same for every image of the batch, and contrastive
learning needs them per image. kornia draws per image, but would be one more heavy library, and
took 1.6 times as long (kornia 0.9.0, two RGB SimCLR views at 64 px, one thread).

A loader's workers want cores of their own: on a busy machine they lose more than ours does, so
compare with a quiet one.
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
from harness.spec.recipe import Stage
from harness.train.images import OVERSAMPLING, Images, draw_batch
from harness.train.loop import look
from harness.train.optimizer import build_optimizer
from harness.train.task import StepContext, Task, build_task

BATCH, FEW, MANY = 64, 4 * 64, 16 * 64
"""The batch of the laptop profile, and images a time: steps are slow, loaders slow to start."""

STAGES: dict[str, Stage] = {
    "MoCo v3": mocov3.stages()[0],
    "SimCLR": simclr.stages()[0],
    "ContrastiveCrop": contrastivecrop.stages()[0],
}


def measure() -> Iterator[dict]:
    """Yield the shares (goal: at most 0.25), the rival's ratio (at least 3) and momentum's."""
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
    task, generator = _task(stage), torch.Generator().manual_seed(0)
    optimizer = build_optimizer(task, profiles.LAPTOP.scaled(stage).recipe)
    # Where ContrastiveCrop has its boxes, as in most of its epochs.
    task.before_epoch(60, lambda function: look(task, train, function))

    def data() -> None:
        for rows, at in _steps(len(train), generator):
            draw_batch(task, train, rows, at)

    def steps() -> None:
        for rows, at in _steps(len(train), generator):
            task.losses(draw_batch(task, train, rows, at), at)["total"].backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            task.after_step(at)

    steps()
    return ratio(data, steps, rounds=9)


def _task(stage: Stage) -> Task:
    return build_task(stage.method, registry.find("btmd"), profiles.LAPTOP.backbones).train()


def _steps(count: int, generator: torch.Generator) -> Iterator[tuple[Tensor, StepContext]]:
    order = torch.randperm(count, generator=generator).view(-1, BATCH)
    for step, rows in enumerate(order):
        yield (
            rows,
            StepContext(epoch=60, epochs=300, step=step, steps=len(order), generator=generator),
        )


def _against_torchvision(train: Images) -> dict:
    task, generator = _task(STAGES["SimCLR"]), torch.Generator().manual_seed(0)
    loader = DataLoader(
        _TwoViews(train), batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True
    )

    def theirs() -> None:
        for _ in loader:
            pass

    def ours() -> None:
        for rows, at in _steps(len(train), generator):
            draw_batch(task, train, rows, at)

    theirs()  # starts the workers
    ours()
    return ratio(theirs, ours, rounds=9)


class _TwoViews(Dataset):
    """Two views of an image as SimCLR's implementations draw them, one image after the other."""

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
    own = VisionTransformer(backbones.vit, backbones.image_size)
    twin = frozen_copy(own)

    @torch.no_grad()
    def loop() -> None:
        for target, source in zip(twin.parameters(), own.parameters(), strict=True):
            target.mul_(0.99).add_(source, alpha=0.01)

    times = 10 if backbones is profiles.PAPER.backbones else 200
    return ratio(_repeat(loop, times), _repeat(lambda: follow(twin, own, 0.99), times), rounds=9)


def _repeat(function: object, times: int) -> object:
    def repeated() -> None:
        for _ in range(times):
            function()  # type: ignore[operator]

    return repeated

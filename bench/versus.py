"""MAE pre-training by the harness against a plain Pillow + torchvision + DataLoader pipeline.

Both train the same model on the same files with the same batch, epochs, crops and threads, as whole
processes, interleaved in an order that alternates. What is counted, from start to exit:

* harness: ``harness data add`` (finding, checking, decoding and storing the images) and ``harness
  run`` (start-up, training, checkpoints, the record, weights and probes, the table);
* plain (``bench/_plain.py``): start-up and training, each image decoded in every epoch by workers
  of a DataLoader, as many as there are threads unless --workers says so. It writes and evaluates
  nothing.

The ratio is plain time / harness time; its interval is the t interval of the logarithms of the
pairs' ratios (95 %). The data path's share and the model step alone are of the training loop on
images of noise: ``floor_ratio`` is what the ratio would be if the harness took no time but for the
model's steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import _loop, _pictures, _whole
from bench._stages import Kind, kinds
from harness.errors import UserError
from harness.methods.baselines import mae
from harness.spec import profiles
from harness.spec.backbones import VIT
from harness.spec.recipe import Recipe
from harness.stats import intervals

CASES: tuple[_pictures.Case, ...] = ("there", "official")
SHARES = ("mae", "msmae-described", "finetune-sam")
"""Kinds of stages whose data path's share is told."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes of the comparison."""
    laptop = profiles.LAPTOP
    recipe = laptop.scaled(mae.stages()[0]).recipe
    images = laptop.train_images or 0
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="at least 2 (5)")
    parser.add_argument("--images", type=int, default=images, help=f"to train on ({images})")
    parser.add_argument(
        "--steps",
        type=int,
        default=recipe.epochs * (images // recipe.batch_size),
        help="of training, rounded to whole epochs (the laptop profile's)",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of both")
    parser.add_argument("--workers", type=int, help="of the plain DataLoader (as many as threads)")
    parser.add_argument("--case", choices=(*CASES, "both"), default="both", help="images")
    parser.add_argument("--generated", action="store_true", help="draw images, without archives")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What both processes train.

    Attributes:
        images: number of training images.
        recipe: batch, epochs and learning rate.
        threads: of the model, in both.
        workers: of the plain pipeline's DataLoader.
        pairs: number of pairs.
    """

    images: int
    recipe: Recipe
    threads: int
    workers: int
    pairs: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.recipe.epochs * (self.images // self.recipe.batch_size)


def setup(args: argparse.Namespace) -> Setup:
    """Return what the options ask for.

    Raises:
        UserError: a number cannot be used.
    """
    stage = profiles.LAPTOP.scaled(mae.stages()[0])
    batch, most = stage.recipe.batch_size, profiles.LAPTOP.train_images or 0
    if not batch <= args.images <= most:
        raise UserError(f"--images is {args.images}; allowed are {batch} to {most}.")
    for name, least in (("pairs", 2), ("steps", 1), ("threads", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} is {getattr(args, name)}; it must be at least {least}.")
    epochs = max(1, round(args.steps / (args.images // batch)))
    warmup = min(stage.recipe.warmup_epochs, epochs)
    return Setup(
        images=args.images,
        recipe=dataclasses.replace(stage.recipe, epochs=epochs, warmup_epochs=warmup),
        threads=args.threads,
        workers=args.threads if args.workers is None else args.workers,
        pairs=args.pairs,
    )


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the data path's shares, then the comparison on each kind of images."""
    chosen = setup(args)
    torch.set_num_threads(chosen.threads)
    alone = None
    for found in shares():
        yield found
        alone = alone or 1 / found["model_images_per_s"]  # of MAE, which is the first
    assert alone is not None
    for case in CASES if args.case == "both" else (args.case,):
        with tempfile.TemporaryDirectory() as folder:
            pictures = Path(folder) / "pictures"
            _pictures.write(pictures, case, chosen.images, generated=args.generated)
            pairs = [_pair(pictures, chosen, turn, case) for turn in range(chosen.pairs)]
        yield compared(case, chosen, pairs, alone)


def shares(steps: int = 16, epochs: int = 5) -> Iterator[dict[str, Any]]:
    """Yield the share of the data path and the rate of the model alone, grey and in colour."""
    by_name = {kind.name: kind for kind in kinds()}
    size = _loop.Size(
        profile=profiles.LAPTOP, device=torch.device("cpu"), steps=steps, epochs=epochs
    )
    for name in SHARES:
        for dataset in ("btmd", "ham10000"):
            found = _loop.measured(Kind(name, by_name[name].stage, dataset), size)
            alone = found["images_per_s"] / (1 - found["data_share"])
            yield {
                "what": "data path",
                "kind": name,
                "images": dataset,
                "threads": torch.get_num_threads(),
                "images_per_s": found["images_per_s"],
                "model_images_per_s": alone,
                "data_share": found["data_share"],
            }


def _pair(pictures: Path, chosen: Setup, turn: int, case: str) -> dict[str, float]:
    """Run both once, the harness first in even turns; return their seconds."""
    sides = (_harness, _plain) if turn % 2 == 0 else (_plain, _harness)
    seconds: dict[str, float] = {"load": round(os.getloadavg()[0], 2)}
    for side in sides:
        seconds.update(side(pictures, chosen))
    told = ", ".join(f"{name} {value:.2f}" for name, value in sorted(seconds.items()))
    print(f"versus, {case}, pair {turn + 1}/{chosen.pairs}: {told}", file=sys.stderr, flush=True)
    return seconds


def _harness(pictures: Path, chosen: Setup) -> dict[str, float]:
    """Prepare the images and train with the harness, in an empty folder; return the seconds."""
    recipe = chosen.recipe
    training = _whole.Training(
        stages="mae.stages()[:1]",
        metric="paper_training_macs",
        profile=profiles.LAPTOP,
        changes=(
            f"recipe.epochs={recipe.epochs}",
            f"recipe.warmup_epochs={recipe.warmup_epochs}",
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        return _whole.harness(Path(folder), pictures, training, threads=chosen.threads)


def _plain(pictures: Path, chosen: Setup) -> dict[str, float]:
    """Train with the plain pipeline; return the seconds."""
    recipe, settings = chosen.recipe, mae.MAE()
    size = profiles.LAPTOP.backbones.of(VIT)
    options = {
        "images": pictures / "train",
        "size": json.dumps(dataclasses.asdict(size)),
        "side": profiles.LAPTOP.backbones.image_size,
        "batch": recipe.batch_size,
        "epochs": recipe.epochs,
        "workers": chosen.workers,
        "threads": chosen.threads,
        "lr": recipe.lr,
        "warmup": recipe.warmup_epochs,
        "mask-ratio": settings.mask_ratio,
        "weight-decay": recipe.weight_decay,
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    script = str(Path(__file__).with_name("_plain.py"))
    with tempfile.TemporaryDirectory() as folder:
        seconds, printed = _whole.timed([script, *words], Path(folder), threads=chosen.threads)
    told = json.loads(printed.splitlines()[-1])
    if told["steps"] != chosen.steps:
        raise UserError(f"The plain pipeline took {told['steps']} steps, not {chosen.steps}.")
    return {"plain_s": seconds, "plain_loop_s": told["loop_s"]}


def interval(numerator: Sequence[float], denominator: Sequence[float]) -> tuple[float, list[float]]:
    """Return the geometric mean of paired ratios and its 95 % t interval on the log scale."""
    logs = [math.log(a / b) for a, b in zip(numerator, denominator, strict=True)]
    found = intervals.t_interval(logs)
    centre = math.exp(intervals.mean(logs))
    return centre, [math.exp(found.low), math.exp(found.high)]


def compared(
    case: str, chosen: Setup, pairs: Sequence[dict[str, float]], alone: float
) -> dict[str, Any]:
    """Summarise the pairs of one kind of images.

    Args:
        case: what the files are.
        chosen: what was trained.
        pairs: seconds of each pair, by name.
        alone: seconds that the model takes for an image.
    """
    columns = {name: [pair[name] for pair in pairs] for name in pairs[0]}
    ratio, limits = interval(columns["plain_s"], columns["harness_s"])
    trained, trained_limits = interval(columns["plain_s"], columns["train_s"])
    seen = chosen.steps * chosen.recipe.batch_size
    middle = {name: _loop.median(values) for name, values in columns.items()}
    floor = seen * alone
    return {
        "what": "versus",
        "images": case,
        "count": chosen.images,
        "epochs": chosen.recipe.epochs,
        "batch": chosen.recipe.batch_size,
        "threads": chosen.threads,
        "workers": chosen.workers,
        "ratio": ratio,
        "interval": limits,
        "ratio_without_preparing": trained,
        "interval_without_preparing": trained_limits,
        "harness_images_per_s": seen / middle["harness_s"],
        "plain_images_per_s": seen / middle["plain_s"],
        "prepare_s": middle["prepare_s"],
        "train_s": middle["train_s"],
        "plain_s": middle["plain_s"],
        "floor_s": floor,
        "model_share": floor / middle["harness_s"],
        "floor_ratio": middle["plain_s"] / floor,
        "pairs": list(pairs),
    }


def last_line(results: Sequence[dict[str, Any]]) -> str:
    """Return the ratio of the last comparison, which is that of official sizes if both ran."""
    found = [result for result in results if result["what"] == "versus"][-1]
    low, high = found["interval"]
    return f"ratio {found['ratio']:.2f} [{low:.2f}, {high:.2f}]"

"""Speed of a training step of every kind of stage: images/s, FLOP/s, launches, data share.

Steps are those of the training loop on images of noise; passes for attention maps, evaluations
and checkpoints are left out. FLOPs are the model's (two per multiply-accumulate, forward and
backward), counted on shapes. ``peak`` is the device's in bfloat16 by its maker's data sheet, or
--peak; without one there is no share. Launches and waits for the device need CUDA; --fake counts
them on a CUDA device that does not exist, at the paper's size (a lower bound, see its tests).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import torch

from bench import _fake, _loop, _modes, _peaks
from bench._stages import Kind, kinds
from harness import provenance
from harness.cost.count import UncountedError
from harness.data import registry
from harness.errors import unknown
from harness.spec import profiles


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the sizes of the measurement."""
    parser.add_argument("--profile", choices=tuple(profiles.PROFILES), default="laptop")
    parser.add_argument("--only", metavar="KIND,...", help="kinds of stages; all by default")
    parser.add_argument("--mode", choices=_modes.MODES, default="eager", help="of the steps")
    parser.add_argument("--steps", type=_two, default=8, metavar="N", help="of an epoch")
    parser.add_argument("--epochs", type=_one, default=3, metavar="N", help="that are timed")
    parser.add_argument("--batch", type=_two, metavar="N", help="largest batch (the recipe's)")
    parser.add_argument("--peak", type=float, metavar="TFLOPS", help="of the device, in bfloat16")
    parser.add_argument("--fake", action="store_true", help="also count launches without a device")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="CUDA if there is one")


def _one(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def _two(text: str) -> int:
    return _one(text, 2)


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the speed of each kind of stage.

    Raises:
        UserError: a kind is unknown.
    """
    device = torch.device(args.device) if args.device else provenance.choose_device()
    size = _loop.Size(
        profile=profiles.find(args.profile),
        device=device,
        steps=args.steps,
        epochs=args.epochs,
        most=args.batch,
        mode=args.mode,
    )
    selected = chosen(args.only)
    imagined = _fake.counted([kind.name for kind in selected]) if args.fake else {}
    for kind in selected:
        found = of(kind, size, None if args.peak is None else args.peak * 1e12)
        yield {**found, **imagined.get(kind.name, {})}


def chosen(names: str | None) -> tuple[Kind, ...]:
    """Return the kinds of a list of names, or all.

    Raises:
        UserError: a name is unknown.
    """
    by_name = {kind.name: kind for kind in kinds()}
    for name in names.split(",") if names else ():
        if name not in by_name:
            raise unknown("kind of stage", name, by_name)
    return tuple(by_name[name] for name in (names.split(",") if names else by_name))


def of(kind: Kind, size: _loop.Size, peak: float | None = None) -> dict[str, Any]:
    """Return the speed of a kind of stage with FLOP/s and their share of the device's peak."""
    found = {"profile": size.profile.name, **_loop.measured(kind, size)}
    if "skipped" in found:
        return found
    try:
        flops = _loop.flops_per_image(
            _loop.stage_of(kind, size), registry.find(kind.dataset), size.profile
        )
    except UncountedError as error:
        return {**found, "uncounted": str(error)}
    if peak is None and size.device.type == "cuda":
        peak = _peaks.peak(torch.cuda.get_device_name(size.device))
    rate = flops * found["images_per_s"]
    return {
        **found,
        "gflop_per_image": flops / 1e9,
        "tflops_per_s": rate / 1e12,
        "peak_tflops": peak and peak / 1e12,
        "share_of_peak": peak and rate / peak,
    }

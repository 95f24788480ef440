"""``harness cost``: count multiplications and parameters of models, and time them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness import ranges
from harness.cli import options
from harness.console import say
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.cost.stage import Cost
    from harness.latency.processes import Kind, Latency
    from harness.spec.backbones import BackboneSizes
    from harness.spec.dataset import Dataset


def add_parser(commands: Any) -> None:
    """Add the ``cost`` command to the command line."""
    cost = commands.add_parser(
        "cost",
        help="count multiplications and parameters of a model",
        description="Count the multiplications of a model under named conventions, per image. It"
        " computes with shapes only, without weights or images. An operator that cannot be counted"
        " is an error.",
    )
    cost.add_argument(
        "model",
        help="vit_base_patch16, swin_tiny, resnet50, a row of Table 1 (mae: its pre-training,"
        " mae.finetune: its fine-tuning), or TABLE/ROW",
    )
    cost.add_argument(
        "--tokens",
        type=_tokens,
        default=(),
        metavar="197,50",
        help="tokens with [CLS] that pass the blocks of a ViT classifier; all patches are embedded",
    )
    cost.add_argument(
        "--convention",
        action="append",
        default=[],
        metavar="NAME",
        help="thop-macs, fvcore-macs or torch-flops (default: all)",
    )
    cost.add_argument("--compare", metavar="MODEL", help="a second model, against the first")
    cost.add_argument("--dataset", default="messidor2", help="gives the number of classes")
    cost.add_argument("--profile", default="paper", help="smoke, laptop or paper: the sizes")
    cost.add_argument("--json", type=options.path, metavar="PATH", help="also write JSON")
    cost.add_argument(
        "--check",
        action="store_true",
        help="also count with fvcore and torch's counter, and print where they differ",
    )
    _latency_options(cost.add_argument_group("latency"))


def _latency_options(group: Any) -> None:
    group.add_argument("--latency", action="store_true", help="also time it, on this machine")
    group.add_argument(
        "--throughput",
        action="store_true",
        help="time a training step and print its FLOPs per second, for `harness plan --rate`",
    )
    group.add_argument(
        "--batch-size",
        type=options.whole(1, 2**20),
        metavar="N",
        help="default 1; --throughput: the recipe's",
    )
    group.add_argument(
        "--pass",
        dest="kind",
        choices=("deployed", "training", "step"),
        help="what is timed: a classifier's forward over all (or --tokens) patches, the masked"
        " forward of training, or a training step (default: deployed; a pre-training: training)",
    )
    group.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        help="default fp32; --throughput with CUDA: bf16, as training is",
    )
    group.add_argument(
        "--rounds", type=options.whole(2, 100_000), default=30, help="timings per pass and process"
    )
    group.add_argument(
        "--processes",
        type=options.whole(1, 100),
        default=3,
        help="processes that time, one after the other",
    )


def run(args: argparse.Namespace) -> int:
    """Count models, print and write the costs; with ``--check`` return 1 if a counter differs."""
    from harness import provenance
    from harness.cost import conventions, models, terminal
    from harness.cost.stage import measure
    from harness.data import registry
    from harness.report import json_files
    from harness.spec import profiles

    named = tuple(conventions.find(name) for name in args.convention)
    chosen = named or tuple(conventions.CONVENTIONS.values())
    profile = profiles.find(args.profile)
    dataset = registry.find(args.dataset)
    compared = [models.find(name) for name in (args.model, args.compare) if name is not None]
    costs = [
        measure(m, dataset, profile.backbones, tokens=args.tokens, conventions=chosen)
        for m in compared
    ]
    commit, dirty = provenance.commit()
    context = {
        "profile": profile.name,
        "image_size": profile.backbones.image_size,
        "dataset": dataset.name,
        "classes": len(dataset.classes),
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
    }
    say(
        f"Per image of {profile.backbones.image_size} px, {len(dataset.classes)} classes"
        f" ({dataset.name}), profile {profile.name!r}."
    )
    terminal.show(costs)
    sys.stdout.flush()
    results = terminal.to_json(costs, context)
    if args.throughput:
        results |= _throughput(args, costs, dataset, profile.backbones)
    elif args.latency:
        results["latency"] = _latency_json(_latency(args, costs))
    if args.json is not None:
        json_files.write(args.json, results)
        say(f"Written: {args.json}")
    return _check(costs, dataset, profile.backbones) if args.check else 0


def _latency(args: argparse.Namespace, costs: list[Cost]) -> Latency:
    """Time the pass of ``--pass`` of each model, or its default pass, and print the times."""
    if args.tokens and args.kind not in (None, "deployed"):
        raise UserError(
            f"--tokens needs --pass deployed; in --pass {args.kind} the method chooses the tokens."
        )
    kinds = [args.kind or _default_pass(cost) for cost in costs]
    batch = 1 if args.batch_size is None else args.batch_size
    return _time(args, costs, kinds, batch, args.precision or "fp32")


def _time(
    args: argparse.Namespace,
    costs: list[Cost],
    kinds: Sequence[Kind],
    batch: int,
    precision: str,
) -> Latency:
    """Time one kind of pass of each model, and print the times."""
    from harness.latency import processes
    from harness.latency import terminal as latency_terminal
    from harness.provenance import choose_device

    request = processes.Request(
        subjects=processes.subjects([c.model.name for c in costs], args.tokens, kinds),
        profile=args.profile,
        dataset=args.dataset,
        batch=batch,
        precision=precision,
        device=choose_device().type,
        rounds=args.rounds,
    )
    latency = processes.run(request, args.processes)
    latency_terminal.show(latency)
    return latency


def _throughput(
    args: argparse.Namespace, costs: list[Cost], dataset: Dataset, backbones: BackboneSizes
) -> dict[str, Any]:
    """Time training steps at the first model's batch; return the times and FLOPs per second."""
    from harness.cost import estimate
    from harness.provenance import choose_device

    if args.tokens or args.kind not in (None, "step"):
        raise UserError("--throughput times a training step; leave --tokens and --pass out.")
    batch = costs[0].model.stage.recipe.batch_size if args.batch_size is None else args.batch_size
    default = "bf16" if choose_device().type == "cuda" else "fp32"
    latency = _time(args, costs, ["step"] * len(costs), batch, args.precision or default)
    rates = {}
    for cost, times in zip(costs, latency.times, strict=True):
        flops = estimate.size(cost.model.stage, dataset, backbones).flops * batch
        rates[cost.model.name] = flops / times.p50 / 1e12
        say(
            f"{cost.model.name}: {rates[cost.model.name]:.4g} TFLOPS ({estimate.CONVENTION}) in a"
            f" training step without loading and augmentation{' (noisy)' if times.noisy else ''};"
            f" `harness plan ... --rate {rates[cost.model.name]:.4g}` turns FLOPs into hours."
        )
    return {"latency": _latency_json(latency), "throughput_tflops": rates}


def _latency_json(latency: Latency) -> dict[str, Any]:
    """Return times as JSON values, with the versions of the packages."""
    from harness import provenance

    return {**latency.to_json(), "versions": provenance.versions()}


def _default_pass(cost: Cost) -> Literal["deployed", "training"]:
    """Return the pass that is timed by default: a pre-training is never deployed."""
    return "training" if cost.model.stage.phase == "pretrain" else "deployed"


def _check(costs: list[Cost], dataset: Dataset, backbones: BackboneSizes) -> int:
    """Compare the counts with fvcore's and torch's; return 1 if one differs."""
    from harness.cost import check

    agree = True
    for cost in costs:
        for line, agrees in check.compare(cost.model, dataset, backbones):
            say(line)
            agree = agree and agrees
    return 0 if agree else 1


def _tokens(text: str) -> tuple[int, ...]:
    try:
        return tuple(options.whole(1, 2**20)(part.strip()) for part in text.split(","))
    except argparse.ArgumentTypeError as error:
        message = f"{ranges.said(text)} is not a list of numbers like 197,50: {error}"
        raise argparse.ArgumentTypeError(message) from None

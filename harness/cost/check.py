"""The same passes through fvcore and torch's FlopCounterMode, and where they differ by name.

Both leave scaled-dot-product attention out on the CPU. fvcore is given a formula for it; torch's
counter runs on the meta device, where attention is written out. A closed form for ViT needs no
counter at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.cost.conventions import CONVENTIONS
from harness.cost.count import count
from harness.cost.models import Model
from harness.cost.passes import StagePasses
from harness.spec.backbones import BackboneSizes, VitSize
from harness.spec.dataset import Dataset

ATTENTION = "aten::scaled_dot_product_attention"
TOLERANCE = 0.005
"""Largest share by which another counter may differ."""

POOLING = "adaptive_avg_pool2d"
"""fvcore counts one addition an element; no convention here does, additions are free."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What fvcore says.

    Attributes:
        macs: without what no convention here counts.
        apart: multiply-accumulates that fvcore has besides, by operator.
        skipped: operators that it has no formula for, with how often they ran.
    """

    macs: int
    apart: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


class _Traced(nn.Module):
    """A pass as a module of the images alone, as fvcore wants it.

    It owns the parameters but no module: tracing would refuse modules that take None.
    """

    def __init__(self, task: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(task.parameters())
        self.pass_ = forward

    def forward(self, images: Tensor) -> Tensor:
        return self.pass_(images)


def fvcore(work: StagePasses, forward: Callable[[], Tensor]) -> Check:
    """Count a pass with fvcore, attention included.

    It traces, which the meta device does not bear: ``work`` must be on the CPU, and runs.
    """
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad(), _masks_drawn(work.task, forward):
        traced = _Traced(work.task, lambda _: forward())
        analysis = FlopCountAnalysis(traced, (work.batch.images,))
        analysis.set_op_handle(ATTENTION, _attention)
        analysis.unsupported_ops_warnings(enabled=False)
        analysis.uncalled_modules_warnings(enabled=False)
        found = {name: int(number) for name, number in analysis.by_operator().items()}
        skipped = dict(analysis.unsupported_ops())
    apart = {name: found.pop(name) for name in (POOLING,) if name in found}
    return Check(macs=sum(found.values()), apart=apart, skipped=skipped)


@contextmanager
def _masks_drawn(task: Any, forward: Callable[[], Tensor]) -> Iterator[None]:
    """Repeat the masks of a run before: how many patches are masked cannot be traced."""
    draw = getattr(task, "draw_masks", None)
    if draw is None:
        yield
        return
    drawn: list[Any] = []

    def keep(*given: Any) -> Any:
        drawn.append(draw(*given))
        return drawn[-1]

    task.draw_masks = keep
    try:
        forward()
        task.draw_masks = lambda *_: drawn[-1]
        yield
    finally:
        del task.draw_masks


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    del outputs
    query, key, value = (list(i.type().sizes()) for i in inputs[:3])
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def torch_flops(forward: Callable[[], Tensor], *, backward: bool = False) -> int:
    """Count a pass with torch's own counter; on the meta device it sees every product."""
    with torch.set_grad_enabled(backward), FlopCounterMode(display=False) as counter:
        made = forward()
        if backward:
            made.backward()
    return int(counter.get_total_flops())


def vit_products(size: VitSize, image_size: int, classes: int, tokens: int) -> int:
    """Return a ViT classifier's multiply-accumulates, without normalisation, in closed form.

    All L patches are embedded, ``tokens`` (with [CLS]) pass the blocks: a block of width D has
    12 D^2 a token (query, key, value, projection and an MLP of 4 D) and 2 D a pair of tokens.
    """
    patches, width = (image_size // size.patch) ** 2, size.width
    embedding = patches * 3 * size.patch**2 * width
    block = 12 * tokens * width**2 + 2 * tokens**2 * width
    return embedding + size.depth * block + width * classes


def compare(model: Model, dataset: Dataset, backbones: BackboneSizes) -> Iterator[tuple[str, bool]]:
    """Count a model's pass with all counters.

    A classifier's deployed forward, a pre-training's training forward on two images.

    Yields:
        A line in words, and whether the counter agrees within ``TOLERANCE``.
    """
    deployed = model.stage.phase != "pretrain"
    batch = 1 if deployed else 2

    def work(device: str) -> tuple[StagePasses, Callable[[], Tensor]]:
        made = StagePasses(model.stage, dataset, backbones, torch.device(device), batch)
        return made, made.deployed() if deployed else made.training()

    meta, forward = work("meta")
    tally = count(meta.task, forward)
    ours, theirs = CONVENTIONS["torch-flops"].of(tally), torch_flops(forward)
    yield _line(model.name, "torch", ours, theirs)
    with _masks_drawn(meta.task, forward):
        traced = count(meta.task, forward)
    found = fvcore(*work("cpu"))
    line, fine = _line(model.name, "fvcore", CONVENTIONS["fvcore-macs"].of(traced), found.macs)
    apart = {f"{name}, additions only": macs for name, macs in found.apart.items()}
    if tally.total > traced.total:
        apart["drawing masks, not traced"] = tally.total - traced.total
    yield "; ".join([line, *(f"{name}: {n / 1e9:.4g} G" for name, n in apart.items())]), fine


def _line(name: str, counter: str, ours: int, theirs: int) -> tuple[str, bool]:
    difference = ours / theirs - 1
    fine = abs(difference) <= TOLERANCE
    text = f"{name}: {ours / 1e9:.4f} G, {counter} {theirs / 1e9:.4f} G"
    return f"{text}, difference {100 * difference:+.3f} %{'' if fine else ' (disagree)'}", fine

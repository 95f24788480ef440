"""Compare this package's counts with those of fvcore and torch's FlopCounterMode.

On the CPU, both omit scaled-dot-product attention. fvcore therefore gets a formula for it, and
torch's counter runs on the meta device, where attention is decomposed into matrix products. For
ViT there is also a closed form.
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
"""Operator for which fvcore gets a formula."""

TOLERANCE = 0.005
"""Largest relative difference at which two counters agree."""

POOLING = "adaptive_avg_pool2d"
"""Operator for which fvcore counts one addition per element; additions are free here."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Result of fvcore's counter.

    Attributes:
        macs: multiply-accumulates, without ``excluded``.
        excluded: fvcore's counts of operators that no convention here counts, by operator.
        skipped: number of calls of operators for which fvcore has no formula, by operator.
    """

    macs: int
    excluded: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)


class _Traced(nn.Module):
    """A pass wrapped as a module that takes only images, as fvcore requires.

    It holds the task's parameters but not the task, because tracing refuses modules whose arguments
    are None.
    """

    def __init__(self, task: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(task.parameters())
        self.pass_ = forward

    def forward(self, images: Tensor) -> Tensor:
        return self.pass_(images)


def fvcore(work: StagePasses, forward: Callable[[], Tensor]) -> Check:
    """Count a pass with fvcore, attention included.

    fvcore traces the pass, which fails on the meta device: ``work`` must be on the CPU, where the
    pass is run.
    """
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad(), _masks_drawn(work.task, forward):
        traced = _Traced(work.task, lambda _: forward())
        analysis = FlopCountAnalysis(traced, (work.batch.images,))
        analysis.set_op_handle(ATTENTION, _attention)
        analysis.unsupported_ops_warnings(enabled=False)
        analysis.uncalled_modules_warnings(enabled=False)
        counts = {name: int(number) for name, number in analysis.by_operator().items()}
        skipped = dict(analysis.unsupported_ops())
    excluded = {name: counts.pop(name) for name in (POOLING,) if name in counts}
    return Check(macs=sum(counts.values()), excluded=excluded, skipped=skipped)


@contextmanager
def _masks_drawn(task: Any, forward: Callable[[], Tensor]) -> Iterator[None]:
    """Make a task reuse the masks of one run: the number of masked patches cannot be traced."""
    draw = getattr(task, "draw_masks", None)
    if draw is None:
        yield
        return
    drawn: list[Any] = []

    def draw_and_record(*arguments: Any) -> Any:
        drawn.append(draw(*arguments))
        return drawn[-1]

    task.draw_masks = draw_and_record
    try:
        forward()
        task.draw_masks = lambda *_: drawn[-1]
        yield
    finally:
        del task.draw_masks


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Count the products Q K^T and A V: with Q (..., L, D), K (..., S, D), V (..., S, V)."""
    del outputs
    query, key, value = (list(i.type().sizes()) for i in inputs[:3])
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def torch_flops(forward: Callable[[], Tensor], *, backward: bool = False) -> int:
    """Return the FLOPs of a pass by torch's own counter, which is complete on the meta device."""
    with torch.set_grad_enabled(backward), FlopCounterMode(display=False) as counter:
        result = forward()
        if backward:
            result.backward()
    return int(counter.get_total_flops())


def vit_products(size: VitSize, image_size: int, classes: int, tokens: int) -> int:
    """Return the multiply-accumulates of a ViT classifier, without normalisation, in closed form.

    All patches are embedded; ``tokens`` (with [CLS]) pass through the blocks. A block of width D
    takes 12 D^2 per token (4 D^2 for query, key, value and projection, 8 D^2 for an MLP of hidden
    width 4 D) and 2 D per pair of tokens (Q K^T and A V).
    """
    patches, width = (image_size // size.patch) ** 2, size.width
    embedding = patches * 3 * size.patch**2 * width
    block = 12 * tokens * width**2 + 2 * tokens**2 * width
    return embedding + size.depth * block + width * classes


def compare(model: Model, dataset: Dataset, backbones: BackboneSizes) -> Iterator[tuple[str, bool]]:
    """Count a model's pass with all counters.

    The pass is the deployed forward of a classifier or segmenter, or the training forward of a
    pre-training on two images.

    Yields:
        A line of text per counter, and whether it agrees within ``TOLERANCE``.
    """
    deployed = model.stage.phase != "pretrain"
    batch = 1 if deployed else 2

    def build(device: str) -> tuple[StagePasses, Callable[[], Tensor]]:
        passes = StagePasses(model.stage, dataset, backbones, torch.device(device), batch)
        return passes, passes.deployed() if deployed else passes.training()

    meta, forward = build("meta")
    tally = count(meta.task, forward)
    counted, reported = CONVENTIONS["torch-flops"].of(tally), torch_flops(forward)
    yield _line(model.name, "torch", counted, reported)
    # fvcore does not see the drawing of masks, so it is left out of this count too.
    with _masks_drawn(meta.task, forward):
        traced = count(meta.task, forward)
    reference = fvcore(*build("cpu"))
    line, agrees = _line(
        model.name, "fvcore", CONVENTIONS["fvcore-macs"].of(traced), reference.macs
    )
    excluded = {f"{name}, additions only": macs for name, macs in reference.excluded.items()}
    if tally.total > traced.total:
        excluded["drawing masks, not traced"] = tally.total - traced.total
    yield "; ".join([line, *(f"{name}: {n / 1e9:.4g} G" for name, n in excluded.items())]), agrees


def _line(name: str, counter: str, counted: int, reported: int) -> tuple[str, bool]:
    """Return a line that compares two counts, and whether they agree."""
    difference = counted / reported - 1
    agrees = abs(difference) <= TOLERANCE
    text = f"{name}: {counted / 1e9:.4f} G, {counter} {reported / 1e9:.4f} G"
    return f"{text}, difference {100 * difference:+.3f} %{'' if agrees else ' (disagree)'}", agrees

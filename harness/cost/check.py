"""The same passes through fvcore and torch's FlopCounterMode, and where they differ by name.

Both leave scaled-dot-product attention out on the CPU. fvcore is given a formula for it; torch's
counter runs on the meta device, where attention is written out. A closed form for ViT needs no
counter at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness.spec import VitSize

ATTENTION = "aten::scaled_dot_product_attention"
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


def fvcore(task: nn.Module, forward: Callable[[Tensor], Tensor], images: Tensor) -> Check:
    """Count a pass with fvcore, attention included."""
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad():
        analysis = FlopCountAnalysis(_Traced(task, forward), (images,))
        analysis.set_op_handle(ATTENTION, _attention)
        analysis.unsupported_ops_warnings(enabled=False)
        analysis.uncalled_modules_warnings(enabled=False)
        found = {name: int(number) for name, number in analysis.by_operator().items()}
        skipped = dict(analysis.unsupported_ops())
    apart = {name: found.pop(name) for name in (POOLING,) if name in found}
    return Check(macs=sum(found.values()), apart=apart, skipped=skipped)


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

"""BatchNorm with statistics per group of images, for all groups in one pass of the network.

Methods that ran on several GPUs, or encode two views one after the other, take BatchNorm's
statistics over parts of a batch. A pass per part would launch every kernel as often as there are
parts. Here the parts become channels: G groups of n images with C channels, ordered so that the
images of one number in all groups follow each other, (n G, C, H, W), are in memory the same as
(n, G C, H, W), of which one native BatchNorm over G C channels takes the statistics of every group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.augment.constants import per_device, vector


class Grouped(_BatchNorm):
    """BatchNorm that normalises groups of images apart within a block of ``statistics_per_group``.

    Outside such a block, and in eval mode, it is torch's.
    """

    part: tuple[int, Tensor | None, Tensor | None, Tensor, Tensor] | None = None
    """Number of groups, then scale, shift, mean and variance of all groups, (G C,) each."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise images (n G, C, ...), contiguous, G of each number following each other."""
        if self.part is None or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        groups, weight, bias, mean, variance = self.part
        joined = input.contiguous().view(len(input) // groups, -1, *input.shape[2:])
        # At momentum 1 the "running" statistics become those of this batch.
        normalised = nn.functional.batch_norm(
            joined, mean, variance, weight, bias, training=True, momentum=1.0, eps=self.eps
        )
        return normalised.view(input.shape)


class GroupedBatchNorm1d(Grouped, nn.BatchNorm1d):
    """``nn.BatchNorm1d`` that can take its statistics per group."""


class GroupedBatchNorm2d(Grouped, nn.BatchNorm2d):
    """``nn.BatchNorm2d`` that can take its statistics per group."""


def in_groups(
    network: Callable[[Tensor], Tensor],
    parts: Sequence[nn.Module],
    images: Tensor,
    split: int,
    *,
    at_once: bool | None = None,
) -> Tensor:
    """Return ``network(images)``, with BatchNorm's statistics over groups of ``split`` images.

    All groups pass at once, or one after the other; both are equal up to rounding, running
    statistics included.

    Args:
        network: from (B, ...) to (B, D), image by image but for its BatchNorms, which must be
            grouped ones, and all be used.
        parts: the modules of the network.
        images: (B, ...); a last group of another size has a pass of its own.
        split: images per group; a single last image joins the group before.
        at_once: None chooses by the device: a CPU gains nothing by fewer operations, and is faster
            with the channels last in memory, which leaves no place for the groups.
    """
    if at_once is None:
        at_once = images.device.type != "cpu"
    outputs = []
    for begin, groups, size in sections(len(images), split):
        chunk = images[begin : begin + groups * size]
        if at_once:
            with statistics_per_group(parts, groups):
                # (G n, ...) -> (n G, ...) and back.
                output = network(_swapped(chunk, groups))
            outputs.append(_swapped(output, size))
        else:
            outputs += [network(_channels_last(group)) for group in chunk.split(size)]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


def sections(count: int, split: int) -> list[tuple[int, int, int]]:
    """Return first image, number of groups and images per group of each pass over ``count`` images.

    BatchNorm needs two images, so that a single last image joins the group before.
    """
    whole, rest = divmod(count, split)
    if rest == 1 and whole:
        whole, rest = whole - 1, split + 1
    passes = [(0, whole, split), (whole * split, 1, rest)]
    return [(begin, groups, size) for begin, groups, size in passes if groups and size]


def _swapped(images: Tensor, groups: int) -> Tensor:
    """Turn (G n, ...) into (n G, ...)."""
    if groups == 1 or groups == len(images):
        return images
    swapped: Tensor = images.unflatten(0, (groups, -1)).transpose(0, 1).flatten(0, 1)
    return swapped


@contextmanager
def statistics_per_group(parts: Sequence[nn.Module], groups: int) -> Iterator[None]:
    """Let the grouped BatchNorms of modules normalise ``groups`` groups apart within the block.

    Afterwards their running statistics are what one pass per group would have left.
    """
    modules = [m for part in parts for m in part.modules() if isinstance(m, _BatchNorm)]
    norms = [m for m in modules if isinstance(m, Grouped)]
    assert len(norms) == len(modules), "a BatchNorm that cannot be grouped"
    if groups == 1 or not all(norm.training for norm in norms):
        yield
        return
    widths = tuple(norm.num_features for norm in norms)
    like = next(norms[0].buffers())  # the running mean
    scales, shifts = (
        _repeated([getattr(norm, name) for norm in norms], groups) for name in ("weight", "bias")
    )
    batch = like.new_zeros(2, groups * sum(widths))
    means, variances = ([*values.split([groups * w for w in widths])] for values in batch)
    for norm, *part in zip(norms, scales, shifts, means, variances, strict=True):
        norm.part = (groups, *part)
    try:
        yield
    finally:
        for norm in norms:
            norm.part = None
    _update(norms, batch, widths, groups)


def _repeated(parameters: list[Tensor | None], groups: int) -> list[Tensor | None]:
    """Return every module's scale or shift (C,) once per group, (G C,) each; None stays None."""
    given = [parameter for parameter in parameters if parameter is not None]
    if not given:
        return [None for _ in parameters]
    # One operation for all modules.
    order = _by_module(tuple(len(p) for p in given), groups, device=given[0].device)
    repeated = torch.cat(given).expand(groups, -1).flatten().index_select(0, order)
    parts = iter(repeated.split([groups * len(p) for p in given]))
    return [None if parameter is None else next(parts) for parameter in parameters]


@torch.no_grad()
def _update(norms: list[Grouped], batch: Tensor, widths: tuple[int, ...], groups: int) -> None:
    """Update the running statistics by those of all groups (2, G * sum of C), group after group."""
    momentum = norms[0].momentum
    assert momentum is not None
    assert all(norm.momentum == momentum for norm in norms)
    # r <- (1 - m) r + m s for s = s_1 ... s_G gives (1 - m)^G r + sum of m (1 - m)^(G - g) s_g.
    shares = vector(
        *(momentum * (1 - momentum) ** (groups - 1 - g) for g in range(groups)), device=batch.device
    )
    inverse = _by_group(widths, groups, device=batch.device)
    ordered = batch.index_select(1, inverse).unflatten(1, (groups, -1))
    means, variances = ((ordered * shares[:, None]).sum(1)).unbind()
    running = [n.running_mean for n in norms] + [n.running_var for n in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    torch._foreach_mul_(_tensors(running), (1 - momentum) ** groups)
    torch._foreach_add_(_tensors(running), [*means.split(widths), *variances.split(widths)])
    torch._foreach_add_(_tensors(counts), groups)


def _tensors(buffers: list[Tensor | None]) -> list[Tensor]:
    return [buffer for buffer in buffers if buffer is not None]


@per_device
def _by_module(widths: tuple[int, ...], groups: int, *, device: torch.device) -> Tensor:
    """Return the places of values ordered by module, group, channel among (G, sum of C) ones."""
    places = torch.arange(groups * sum(widths), device=device).view(groups, -1).split(widths, 1)
    return torch.cat([place.flatten() for place in places])


@per_device
def _by_group(widths: tuple[int, ...], groups: int, *, device: torch.device) -> Tensor:
    """Return the inverse of the order ``_by_module``."""
    return _by_module(widths, groups, device=device).argsort()

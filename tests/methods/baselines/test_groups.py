"""BatchNorm per group of images in one pass, against one pass per group."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from harness.methods.baselines._backbones import residual_network
from harness.methods.baselines._groups import (
    GroupedBatchNorm1d,
    GroupedBatchNorm2d,
    in_groups,
    sections,
)
from tests import tiny


@pytest.mark.parametrize(
    ("images", "split", "expected"),
    [(8, 4, [4, 4]), (9, 4, [4, 5]), (10, 4, [4, 4, 2]), (5, 4, [5]), (3, 4, [3]), (1, 4, [1])],
)
def test_no_image_is_left_alone_in_its_group(images: int, split: int, expected: list[int]) -> None:
    passes = sections(images, split)
    assert [size for _, groups, size in passes for _ in range(groups)] == expected
    begins = [begin for begin, _, _ in passes]
    assert begins == [sum(n * size for _, n, size in passes[:i]) for i in range(len(passes))]


def _network() -> nn.Module:
    """Return a residual network and a head, with BatchNorms with and without scale and shift."""
    torch.manual_seed(0)
    encoder = residual_network(tiny.ENCODERS.resnet, classes=0, norm=GroupedBatchNorm2d)
    width = encoder.num_features
    head = nn.Sequential(
        nn.Linear(width, 6),
        GroupedBatchNorm1d(6),
        nn.Linear(6, 4),
        GroupedBatchNorm1d(4, affine=False),
    )
    network = nn.Sequential(encoder, head)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, GroupedBatchNorm1d | GroupedBatchNorm2d) and norm.affine:
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-0.5, 0.5)
    return network.double()


def _by_loop(network: nn.Module, images: Tensor, sizes: list[int]) -> Tensor:
    return torch.cat([network(group) for group in images.split(sizes)])


@pytest.mark.parametrize(
    ("count", "sizes"), [(12, [4, 4, 4]), (10, [4, 4, 2]), (9, [4, 5]), (4, [4])]
)
def test_one_pass_equals_one_pass_per_group(count: int, sizes: list[int]) -> None:
    """Outputs, gradients, running statistics, counters; in float64, so that rounding is small."""
    network = _network()
    reference = copy.deepcopy(network)
    slower = copy.deepcopy(network)
    images = torch.rand(count, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    others = images.detach().clone().requires_grad_()
    weights = torch.randn(count, 4, dtype=torch.float64)
    for _ in range(2):  # the second time from running statistics that are not the initial ones
        found = in_groups(network, (network,), images, 4, at_once=True)
        expected = _by_loop(reference, others, sizes)
        torch.testing.assert_close(in_groups(slower, (slower,), images, 4), expected)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
    torch.testing.assert_close(images.grad, others.grad, rtol=1e-5, atol=1e-8)
    for (name, ours), theirs in zip(
        network.named_parameters(), reference.parameters(), strict=True
    ):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8, msg=name)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, reference.state_dict()[name], rtol=1e-6, atol=1e-9)


def test_groups_differ_from_one_batch_and_end_with_the_pass() -> None:
    network = _network()
    images = torch.rand(8, 3, 32, 32, dtype=torch.float64)
    grouped = in_groups(network, (network,), images, 4, at_once=True)
    assert not torch.allclose(grouped, network(images), atol=1e-3)
    torch.testing.assert_close(
        network(images), in_groups(network, (network,), images, 8, at_once=True)
    )


def test_in_eval_mode_groups_do_not_matter() -> None:
    network = _network().eval()
    images = torch.rand(8, 3, 32, 32, dtype=torch.float64)
    before = copy.deepcopy(network.state_dict())
    torch.testing.assert_close(
        in_groups(network, (network,), images, 4, at_once=True), network(images)
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_batchnorm_that_cannot_be_grouped_is_refused() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(AssertionError, match="cannot be grouped"):
        in_groups(network, (network,), torch.rand(8, 4), 4, at_once=True)

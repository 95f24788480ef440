"""Shared counters change no update of torch's fused Adam and AdamW, and no state dict."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from harness.train.adam import Adam


def _groups(seed: int = 0) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    tensors = [nn.Parameter(torch.randn(3, 4, generator=generator)) for _ in range(5)]
    return [
        {"params": tensors[:3], "weight_decay": 0.05, "lr": 0.02},
        {"params": tensors[3:], "weight_decay": 0.0},
    ]


def _pair(*, decoupled: bool) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    own = Adam(_groups(), lr=0.01, betas=(0.9, 0.95), fused=True, decoupled_weight_decay=decoupled)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    return own, kind(_groups(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


def _step(optimizer: torch.optim.Optimizer, number: int, left_out: tuple[int, ...] = ()) -> None:
    generator = torch.Generator().manual_seed(number)
    tensors = [p for group in optimizer.param_groups for p in group["params"]]
    for row, tensor in enumerate(tensors):
        gradient = torch.randn(3, 4, generator=generator)
        tensor.grad = None if row in left_out else gradient
    optimizer.step()


def _assert_same(own: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    ours, theirs = own.state_dict(), other.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys()
    for number, state in ours["state"].items():
        for name, value in state.items():
            assert torch.equal(value, theirs["state"][number][name]), (number, name)
    for a, b in zip(own.param_groups, other.param_groups, strict=True):
        assert all(map(torch.equal, a["params"], b["params"]))


def _counters(optimizer: torch.optim.Optimizer) -> int:
    return len({id(state["step"]) for state in optimizer.state.values()})


@pytest.mark.parametrize("decoupled", [True, False])
def test_updates_are_those_of_torch_also_where_some_tensors_have_no_gradient(
    *, decoupled: bool
) -> None:
    own, other = _pair(decoupled=decoupled)
    for number, left_out in enumerate([(), (1,), (), (1, 4), (0, 1, 2, 3, 4), ()]):
        for optimizer in (own, other):
            _step(optimizer, number, left_out)
        _assert_same(own, other)
    assert _counters(own) == 3


def test_tensors_that_begin_later_count_from_their_first_step() -> None:
    own, other = _pair(decoupled=True)
    for number, left_out in enumerate([(2, 3), (2,), ()]):
        for optimizer in (own, other):
            _step(optimizer, number, left_out)
        _assert_same(own, other)


@pytest.mark.parametrize("turned", [False, True])
def test_states_are_read_by_torch_and_from_torch(*, turned: bool) -> None:
    own, other = _pair(decoupled=True)
    for number in range(3):
        for optimizer in (own, other):
            _step(optimizer, number, (1,) if number == 2 else ())
    # Into an optimiser of the other kind, over the same tensors.
    source = other if turned else own
    new = _pair(decoupled=True)[0 if turned else 1]
    for group, there in zip(new.param_groups, source.param_groups, strict=True):
        for p, q in zip(group["params"], there["params"], strict=True):
            p.data.copy_(q.data)
    new.load_state_dict(copy.deepcopy(source.state_dict()))
    assert _counters(new) == (2 if turned else 5)
    for optimizer in (new, own, other):
        _step(optimizer, 9)
    _assert_same(own, other)
    assert all(
        torch.equal(p, q)
        for a, b in zip(new.param_groups, own.param_groups, strict=True)
        for p, q in zip(a["params"], b["params"], strict=True)
    )


def test_one_counter_serves_all_tensors() -> None:
    own, _ = _pair(decoupled=True)
    _step(own, 0)
    _step(own, 1)
    assert _counters(own) == 1

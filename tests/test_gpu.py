"""On a CUDA device: the same draws as on the CPU, bfloat16, and losses that agree."""

from __future__ import annotations

import pytest
import torch

from bench import _agree

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def test_strong_views_agree_with_the_cpu() -> None:
    """The same draws; a value that lies between two whole numbers may round either way."""
    assert _agree.views(torch.device("cuda")) < _agree.VIEWS


def test_losses_agree_with_the_cpu_within_bfloat16() -> None:
    assert _agree.losses(torch.device("cuda")) < _agree.LOSSES


def test_weights_cast_together_give_what_autocast_gives() -> None:
    assert _agree.casts(torch.device("cuda")) < _agree.ORDER


def test_recorded_steps_give_what_eager_ones_give() -> None:
    assert _agree.captured(torch.device("cuda")) < _agree.ORDER

"""Figures of an epoch that no record could hold are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.train.figures import check_figures


@pytest.mark.parametrize(
    "value",
    ["b", True, None, 1j, torch.ones(1), np.float32(1), float("nan"), 10**400, [1.0], {"a": 1}],
    ids=repr,
)
def test_what_is_no_finite_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"the figure 'mine' .* must be a finite number"):
        check_figures({"mine": value})


def test_numbers_pass_and_names_are_texts() -> None:
    check_figures({"mine": 1.5, "loss/total": 2, "other": np.float64(1)})
    with pytest.raises(ValueError, match="the name 3 of a figure is int"):
        check_figures({3: 1.0})

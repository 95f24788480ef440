"""A plug-in's metric that fails or gives no number costs its own cells, with its place."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.evaluate import known, metrics
from harness.evaluate.known import MetricError
from harness.spec.quantity import Metric

ARRAYS = np.eye(3), np.arange(3)


def _metric(compute: Callable[..., Any]) -> Metric:
    return Metric(name="mine", title="Mine", better="higher", digits=2, factor=1.0, compute=compute)


def _raises(kind: type[BaseException]) -> Callable[..., Any]:
    def compute(probabilities: np.ndarray, labels: np.ndarray) -> float:
        raise kind("of mine")

    return compute


def _endless(*given: object) -> float:
    return _endless(*given)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(3)])
def test_numbers_of_any_type_are_floats(value: Any) -> None:
    found = known.value_of(_metric(lambda *_: value), *ARRAYS)
    assert type(found) is float
    assert found == value


def test_no_number_is_undefined() -> None:
    assert math.isnan(known.value_of(_metric(lambda *_: math.nan), *ARRAYS))


@pytest.mark.parametrize("value", ["0.5", None, 1j, np.ones(2), True, [1.0]], ids=repr)
def test_what_is_no_number_is_told_with_its_place(value: Any) -> None:
    with pytest.raises(MetricError, match=r"it gives .*, which is no number \(.*test_known.py:\d+"):
        known.value_of(_metric(lambda *_: value), *ARRAYS)


@pytest.mark.parametrize(
    "compute",
    [
        *map(_raises, (RuntimeError, KeyError, SystemExit, MemoryError)),
        lambda *_: 10**400,
        _endless,
        lambda *_: os._exit(0),
        lambda *_: sys.exit(3),
    ],
)
def test_whatever_it_raises_is_told_with_its_place(compute: Callable[..., Any]) -> None:
    with pytest.raises(MetricError, match=r"Error|Exit"):
        known.value_of(_metric(compute), *ARRAYS)


def test_a_value_error_stays_one_and_has_its_place() -> None:
    with pytest.raises(ValueError, match=r"of mine \(.*test_known.py:\d+\)"):
        known.value_of(_metric(_raises(ValueError)), *ARRAYS)


def test_metrics_that_ship_are_called_as_they_are() -> None:
    metric = metrics.METRICS["accuracy"]
    assert known.value_of(metric, *ARRAYS) == metric.compute(*ARRAYS) == 1.0

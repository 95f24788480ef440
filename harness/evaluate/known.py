"""The metrics that ship and those of plug-ins, without what computes them on images."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Mapping
from typing import Any

from harness.errors import text_of
from harness.evaluate import derived, overlap
from harness.ranges import said
from harness.sources import leaving, offers, user_frames
from harness.spec.costs import COSTS
from harness.spec.quantity import Metric


def shipped() -> Mapping[str, Metric]:
    """Return the metrics of the harness by name: those of classes, then those of masks."""
    return {**derived.known(), **overlap.METRICS}


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(shipped())


def plugged() -> offers.Loaded:
    """Return the metrics of plug-ins, which compare classes."""
    return offers.loaded("metric", {*shipped(), *COSTS}, (Metric,))


def value_of(metric: Metric, predictions: Any, truth: Any) -> float:
    """Return a metric of predictions, in natural units; NaN where it is undefined.

    Args:
        metric: that ships, or of a plug-in.
        predictions: probabilities (n, K) or masks.
        truth: labels (n,) or masks.

    Raises:
        ValueError: the metric cannot be computed of these.
        MetricError: that of a plug-in fails, or gives no number.
    """
    if metric.name in _names():
        return metric.compute(predictions, truth)
    try:
        with leaving.refused():
            value: Any = metric.compute(predictions, truth)
            if type(value) is not bool and isinstance(value, numbers.Real):
                return float(value)
    except ValueError as error:
        raise ValueError(_told(error)) from error
    except (Exception, SystemExit) as error:  # whatever a stranger's function raises
        raise MetricError(f"{type(error).__name__}: {_told(error)}") from error
    at = user_frames.defined_at(metric.compute)
    raise MetricError(
        f"it gives {said(value)}, which is no number" + ("" if at is None else f" ({at})")
    )


class MetricError(Exception):
    """A plug-in's metric cannot be computed."""


def _told(error: BaseException) -> str:
    at = user_frames.location(error)
    return text_of(error) + ("" if at is None else f" ({at})")

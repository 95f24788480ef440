"""The metrics that ship and those of plug-ins, without what computes them on images."""

from __future__ import annotations

from collections.abc import Mapping

from harness.evaluate import derived, overlap
from harness.sources import offers
from harness.spec.costs import COSTS
from harness.spec.quantity import Metric


def shipped() -> Mapping[str, Metric]:
    """Return the metrics of the harness by name: those of classes, then those of masks."""
    return {**derived.known(), **overlap.METRICS}


def plugged() -> offers.Loaded:
    """Return the metrics of plug-ins, which compare classes."""
    return offers.loaded("metric", {*shipped(), *COSTS}, (Metric,))

"""Sweeps: a search over the settings of one row."""

from __future__ import annotations

from dataclasses import dataclass

from harness.spec.space import Space
from harness.spec.table import Row

OBJECTIVES = ("accuracy", "training_macs")
"""Accuracy on the validation part (higher is better); multiply-accumulates of training (lower)."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A search over the fields of one row, selected on the validation part of the clean split.

    Attributes:
        row: the chain of stages; a field that the space does not name keeps its value.
        objectives: of ``OBJECTIVES``, the first is the accuracy; two search a Pareto front.
        trials: how many, where the command line does not say.
        heatmap: two dimensions that the report maps.
    """

    title: str
    row: Row
    dataset: str
    space: Space
    objectives: tuple[str, ...] = ("accuracy",)
    trials: int = 30
    heatmap: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()

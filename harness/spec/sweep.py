"""Sweeps: a search over the settings of one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from harness import ranges
from harness.spec.space import Space
from harness.spec.table import Row

OBJECTIVES = ("accuracy", "training_macs")
"""Allowed objectives: accuracy on the validation part, and multiply-accumulates of training."""

Trials = Annotated[int, Meta(ge=1, le=1_000_000)]
"""A number of trials."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A search over the fields of one row, selected on the validation part of the clean split.

    Attributes:
        title: title of the report.
        row: the chain of stages; fields that the space does not name keep their values.
        dataset: name of the data set.
        space: the dimensions that are searched.
        objectives: names of ``OBJECTIVES``, accuracy first; two search a Pareto front.
        trials: number of trials where the command line does not set it.
        heatmap: two dimensions over which the report draws a heatmap; None for none.
        notes: remarks below the report.
    """

    title: str
    row: Row
    dataset: str
    space: Space
    objectives: tuple[str, ...] = ("accuracy",)
    trials: Trials = 30
    heatmap: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ranges.check(self)

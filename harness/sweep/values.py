"""Frozen dataclasses of a sweep's report: the sheet and its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.report.values import Context

PART = "validation part of the clean split"
"""Name of the images whose accuracy selects settings."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Trial as a line of the report.

    Attributes:
        number: the trial's number in the study.
        state: the trial's state.
        values: value of each dimension by name.
        accuracy: validation accuracy as a share; of a pruned trial, at its last epoch.
        macs: multiply-accumulates of the forward passes of all training.
        epochs: number of fine-tuning epochs that were trained.
        key: key of the trial's run.
        front: whether it is on the Pareto front of accuracy against cost.
        commit: commit of its record, "" if there is none.
        stale: whether its record was made by other sources than the present ones.
        error: why the trial failed; None unless it did.
    """

    number: int
    state: Literal["complete", "pruned", "fail", "running", "waiting"]
    values: Mapping[str, float | int | str]
    accuracy: float | None
    macs: float | None
    epochs: int
    key: str
    front: bool = False
    commit: str = ""
    stale: bool = False
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Laid-out report of a sweep.

    Attributes:
        context: options and environment that the report was made with.
        title: title of the sweep.
        study: name of the study.
        dataset: name of the data set.
        data: the fingerprint of the data.
        n: number of images of the validation part.
        kept: how groups and twins were kept between training and validation.
        sampler: name of the sampler.
        pruner: name of the pruner.
        dimensions: names of the dimensions.
        levels: values that each dimension can take; None if they are continuous or too many.
        heatmap: the two dimensions of the heat map; None for no map.
        trials: complete trials, the best first, then pruned, failed and unfinished ones.
        importances: share of the accuracy's variance by parameter (fANOVA).
        importance_error: why there are no importances, "" if there are.
        settings: the best trial's settings as arguments of ``--set``, at this profile.
        notes: further notes of the sweep.
    """

    context: Context
    title: str
    study: str
    dataset: str
    data: str
    n: int
    kept: str
    sampler: str
    pruner: str
    dimensions: tuple[str, ...]
    levels: Mapping[str, tuple[float | int | str, ...] | None]
    heatmap: tuple[str, str] | None
    trials: tuple[Line, ...]
    importances: Mapping[str, float]
    importance_error: str
    settings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def complete(self) -> tuple[Line, ...]:
        """Complete trials, the best first."""
        return tuple(t for t in self.trials if t.state == "complete")

    def count(self, state: str) -> int:
        """Return the number of trials in a state."""
        return sum(t.state == state for t in self.trials)

    @property
    def caption(self) -> tuple[str, ...]:
        """Sentences of the caption; the first is the title."""
        small = f"Scaled down (profile {self.context.profile})."
        return (
            f"{self.title}.",
            f"Accuracy (%) on the {PART} of {self.dataset} (n = {self.n}), last epoch, seed"
            f" {self.context.seeds[0]}; in brackets Wilson's 95 % interval over images.",
            *([small] if self.context.scaled_down else []),
            "The best of many trials flatters: confirm it on the reported part, with more seeds.",
        )

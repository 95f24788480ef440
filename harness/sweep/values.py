"""Frozen values of a sweep's report: its trials, laid out once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.report.values import Context

PART = "validation part of the clean split"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One trial.

    Attributes:
        values: by dimension.
        accuracy: a share; of a pruned trial at its last epoch.
        macs: of all training forwards.
        epochs: of fine-tuning that it was trained for.
        front: no other trial beats it in accuracy and cost at once.
        commit, stale: of its record; "" where there is none.
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
    """A sweep laid out once.

    Attributes:
        trials: the best first, then pruned, failed and unfinished ones.
        levels: values that each dimension can take, None where they are too many to list.
        heatmap: two dimensions that are mapped.
        importances: shares of the accuracy's variance by parameter.
        importance_error: why there are no importances.
        n: images of the validation part.
        settings: of the best trial, as ``--set`` writes them at this profile.
    """

    context: Context
    title: str
    study: str
    dataset: str
    data: str
    n: int
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
        """Trials that were trained to the end, the best first."""
        return tuple(t for t in self.trials if t.state == "complete")

    def count(self, state: str) -> int:
        """Count trials in a state."""
        return sum(t.state == state for t in self.trials)

    @property
    def caption(self) -> tuple[str, ...]:
        """Sentences; the first names the sweep."""
        small = f"Scaled down (profile {self.context.profile}): not a reproduction."
        return (
            f"{self.title}.",
            f"Accuracy (%) on the {PART} of {self.dataset} (n = {self.n}), last epoch, seed"
            f" {self.context.seeds[0]}; in brackets Wilson's 95 % interval over images.",
            *([small] if self.context.scaled_down else []),
            "The best of many trials flatters: confirm it on the reported part, with more seeds.",
        )

"""What a published table is: rows of stages, columns of data sets, the printed numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.spec import Stage


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of a table.

    Attributes:
        name: short name for ``--rows`` and records.
        label: the label as printed.
        stages: the chain that is trained; None where the harness has no such method yet, shown
            as "not run".
        finetunes: alternatives to the last, fine-tuning stage by name; "own" is the recipe that
            the method itself publishes. ``--set finetune=NAME`` takes it.
        printed: the paper's numbers by column name, as printed.
        group: rows of one group stand under one heading.
        backbone: the encoder, as printed.
    """

    name: str
    label: str
    stages: tuple[Stage, ...] | None
    finetunes: Mapping[str, Stage] = field(default_factory=dict)
    printed: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    backbone: str = ""

    def chain(self, finetune: str | None = None) -> tuple[Stage, ...]:
        """Return the stages, the last replaced by the alternative of that name if there is one.

        Rows without a pre-training have nothing to fine-tune and stay as they are.
        """
        stages = self.stages or ()
        if len(stages) < 2 or finetune is None or finetune not in self.finetunes:
            return stages
        return (*stages[:-1], self.finetunes[finetune])


@dataclass(frozen=True, kw_only=True)
class Column:
    """One data set under one metric; its name is the key of ``Row.printed``.

    Attributes:
        probe: "linear" or "knn" shows a probe of the frozen pre-trained encoder; None the
            trained classifier.
    """

    dataset: str
    metric: str = "accuracy"
    title: str = ""
    probe: str | None = None

    @property
    def name(self) -> str:
        """The data set's name, with the probe's, and the metric's unless that is the accuracy."""
        metric = None if self.metric == "accuracy" else self.metric
        return ".".join(part for part in (self.dataset, self.probe, metric) if part)

    def applies(self, row: Row) -> bool:
        """Whether a row has such a number: probes need a pre-training."""
        return self.probe is None or row.stages is None or row.stages[0].phase == "pretrain"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as an experiment; ``source`` names the paper's ("Table 1"), "" if it has none."""

    title: str
    source: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    seeds: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

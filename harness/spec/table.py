"""Tables: rows and columns with the paper's printed numbers, and the figures drawn of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import unknown
from harness.spec.costs import COSTS
from harness.spec.quantity import CostQuantity
from harness.spec.recipe import Stage


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
        printed: the paper's numbers by column name, as printed; those of a cost, which no image
            acts on, by the name of the cost alone.
        modules: those of ``Table.modules`` that the row has.
        group: rows of one group stand under one heading.
        backbone: the encoder, as printed.
        usual_batch: by phase, the batch that the row varies. A profile caps that one, and the
            row's keeps its ratio to it; a plain cap would make all batches above it equal.
    """

    name: str
    label: str
    stages: tuple[Stage, ...] | None
    finetunes: Mapping[str, Stage] = field(default_factory=dict)
    printed: Mapping[str, float] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    group: str = ""
    backbone: str = ""
    usual_batch: Mapping[str, int] = field(default_factory=dict)

    def printed_in(self, column: Column) -> float | None:
        """Return the paper's number of a column, None where it has none."""
        own = self.printed.get(column.name)
        return self.printed.get(column.metric) if own is None and column.cost else own

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
    """One data set under one metric, or a cost; its name is the key of ``Row.printed``.

    Attributes:
        metric: a name of ``harness.evaluate.registry.known`` or ``harness.spec.costs.COSTS``.
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

    @property
    def cost(self) -> CostQuantity | None:
        """The cost that it shows, None for a metric of predictions."""
        return COSTS.get(self.metric)

    def applies(self, row: Row) -> bool:
        """Whether a row has such a number: probes need a pre-training."""
        return self.probe is None or row.stages is None or row.stages[0].phase == "pretrain"


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """A figure: a table's accuracies on a data set over what its rows cost.

    Attributes:
        name: of the files ("figure7").
        source: the paper's figure.
        dataset: the paper's data set; others get a figure of their own.
    """

    name: str
    title: str
    source: str
    dataset: str

    def columns(self, dataset: str) -> tuple[Column, ...]:
        """Return what is drawn: accuracy, and the cost of fine-tuning's forward pass."""
        shown = ("accuracy", "training_macs", "training_seconds_64", "deployed_macs")
        return tuple(Column(dataset=dataset, metric=name) for name in shown)


@dataclass(frozen=True, kw_only=True)
class Panels:
    """A figure: images, their true masks and what a table's rows predict, side by side.

    Attributes:
        name: of the file ("figure9").
        source: the paper's figures.
        count: images at most.
    """

    name: str
    title: str
    source: str
    count: int = 6


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as an experiment; ``source`` names the paper's ("Table 1"), "" if it has none.

    Attributes:
        heading: of the rows' labels.
        modules: heads of columns with a check mark in the rows that have the module.
        table_per_dataset: every data set gets a table of its own, see ``file_name``.
        subtables: headings of the rows' labels by group, in order. Where there are any, each
            group is a small table, (a), (b), ..., in which its rows are ranked.
        references: rows that others are compared with over several seeds: that of their group, else
            the first.
        scatter: drawn with ``--figures``.
        panels: likewise, for tables of segmentations.
    """

    title: str
    source: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    seeds: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    heading: str = "Method"
    modules: tuple[str, ...] = ()
    table_per_dataset: bool = False
    subtables: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    scatter: Scatter | None = None
    panels: Panels | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if self.subtables and row.group not in self.subtables:
                raise unknown(f"group of the row {row.name!r}", row.group, self.subtables)


def file_name(name: str, dataset: str, own: str) -> str:
    """Name what is written for one data set: NAME for the paper's own, else NAME-DATASET."""
    return name if dataset == own else f"{name}-{dataset}"

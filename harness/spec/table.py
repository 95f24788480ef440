"""Tables: rows and columns with the paper's printed numbers, and figures made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from harness import ranges
from harness.errors import UserError, unknown
from harness.ranges import AnyCount, Seed
from harness.spec.claim import Claim, Margin
from harness.spec.costs import COSTS
from harness.spec.explanation import Explanation
from harness.spec.printed import Printed
from harness.spec.quantity import CostQuantity
from harness.spec.recipe import Stage
from harness.spec.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of a table.

    Attributes:
        name: short name for ``--rows`` and records.
        label: the label as the paper prints it; "" or spaces alone give the name.
        stages: the chain that is trained; None if the harness does not have the method, which is
            shown as "not run".
        finetunes: alternatives to the last, fine-tuning stage by name, chosen by
            ``--set finetune=NAME``; "own" is the recipe that the method's authors publish.
        printed: the paper's numbers by column name; costs, which are the same on every data set,
            by the name of the cost alone. Give the text that is printed ("61.30"): its decimals
            tell how far the number is rounded, which those of a number (61.3) do not. They are
            kept as ``Printed``, see ``printed_numbers``.
        modules: the entries of ``Table.modules`` that the row has.
        group: rows of one group are under one heading.
        backbone: the encoder, as the paper prints it.
        usual_batch: by phase, the batch size of which the row is a variation. A profile's limit
            applies to this batch, and the row's keeps its ratio to it; a limit on the row's batch
            would make all larger batches equal.
        explanations: measured reasons why the row may score no better than a constant answer; a
            footnote gives those that hold where it does.
        start: weights that the encoder of the first stage starts from; None for those that
            ``--init`` names, or that are drawn.
    """

    name: str
    label: str
    stages: tuple[Stage, ...] | None
    finetunes: Mapping[str, Stage] = field(default_factory=dict)
    printed: Mapping[str, Printed | str | float] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    group: str = ""
    backbone: str = ""
    usual_batch: Mapping[str, AnyCount] = field(default_factory=dict)
    explanations: tuple[Explanation, ...] = ()
    start: Weights | None = None

    def __post_init__(self) -> None:
        if isinstance(self.label, str) and not self.label.strip():
            object.__setattr__(self, "label", self.name)
        if isinstance(self.printed, Mapping):
            numbers = {name: self._number(name, given) for name, given in self.printed.items()}
            object.__setattr__(self, "printed", numbers)
        ranges.check(self)

    def _number(self, name: str, given: Printed | str | float) -> Printed:
        try:
            return Printed.of(given)
        except UserError as error:
            where = f"Row {ranges.said(self.name)}, printed[{ranges.said(name)}]: "
            raise UserError(f"{where}{error}") from None

    @property
    def printed_numbers(self) -> Mapping[str, Printed]:
        """The paper's numbers, see ``printed``."""
        return {name: Printed.of(number) for name, number in self.printed.items()}

    def printed_in(self, column: Column) -> Printed | None:
        """Return the paper's number in a column, None if it prints none."""
        number = self.printed.get(column.name)
        if number is None and column.cost:
            number = self.printed.get(column.metric)
        return None if number is None else Printed.of(number)

    def chain(self, finetune: str | None = None) -> tuple[Stage, ...]:
        """Return the stages, with the named alternative as the last stage if the row has it.

        Rows without pre-training have no fine-tuning and are returned unchanged.
        """
        stages = self.stages or ()
        if len(stages) < 2 or finetune is None or finetune not in self.finetunes:
            return stages
        return (*stages[:-1], self.finetunes[finetune])


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric on one data set, or a cost; ``Row.printed`` is keyed by its name.

    Attributes:
        dataset: name of the data set.
        metric: a name of ``harness.evaluate.registry.known`` or ``harness.spec.costs.COSTS``.
        title: heading; "" takes the data set's title.
        probe: "linear" or "knn" for a probe of the frozen pre-trained encoder; None for the
            trained model.
    """

    dataset: str
    metric: str = "accuracy"
    title: str = ""
    probe: str | None = None

    @property
    def name(self) -> str:
        """Names of data set, probe and metric joined by dots, without "accuracy"."""
        metric = None if self.metric == "accuracy" else self.metric
        return ".".join(part for part in (self.dataset, self.probe, metric) if part)

    @property
    def cost(self) -> CostQuantity | None:
        """The cost that the column shows, None for a metric of predictions."""
        return COSTS.get(self.metric)

    def applies(self, row: Row) -> bool:
        """Whether a row can have a number in this column: probes need pre-training."""
        return self.probe is None or row.stages is None or row.stages[0].phase == "pretrain"


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """A scatter plot of the rows' accuracies on a data set over their costs.

    Attributes:
        name: name of its files ("figure7").
        title: title above the figure.
        source: the paper's figure that it reproduces.
        dataset: the paper's data set; each other data set has a separate figure.
    """

    name: str
    title: str
    source: str
    dataset: str

    def columns(self, dataset: str) -> tuple[Column, ...]:
        """Return the plotted columns: accuracy and the costs of the forward pass."""
        metrics = ("accuracy", "training_macs", "training_seconds_64", "deployed_macs")
        return tuple(Column(dataset=dataset, metric=name) for name in metrics)


@dataclass(frozen=True, kw_only=True)
class Panels:
    """A figure with images, their true masks and the masks that the rows predict, side by side.

    Attributes:
        name: name of its file ("figure9").
        title: title above the figure.
        source: the paper's figures that it reproduces.
        count: largest number of images.
    """

    name: str
    title: str
    source: str
    count: Annotated[int, Meta(ge=1, le=100)] = 6

    def __post_init__(self) -> None:
        ranges.check(self)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A figure of the stages' histories, shown at the last epoch and drawn over all.

    Attributes:
        name: of the figure ("lesion/auc").
        title: its heading.
        chance: the figure that holds its value by chance; None where ``level`` says it, or nothing.
        level: its value by chance, in the unit of the history.
        factor: from the figure to what is shown (100 for a share in percent).
        digits: decimal places shown.
    """

    name: str
    title: str
    chance: str | None = None
    level: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    factor: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    digits: Annotated[int, Meta(ge=0, le=9)] = 3

    def __post_init__(self) -> None:
        ranges.check(self)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Tables and curves of what the stages measured by epoch, written beside the table.

    Attributes:
        name: what follows the table's name in the names of the files ("curves").
        title: title above them.
        phases: heading of each phase that is shown, in order.
        curves: the figures, in order; a phase shows those that its stages have.
        notes: remarks below the tables.
    """

    name: str
    title: str
    phases: Mapping[str, str]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper, or a new one, as an experiment.

    Attributes:
        title: title above the table.
        source: the paper's table that it reproduces ("Table 1"); "" if there is none.
        rows: the methods, in order.
        columns: the metrics and costs, in order.
        seeds: seeds of the runs; None for those of the profile.
        notes: remarks below the table.
        heading: heading above the rows' labels.
        modules: headings of columns with a check mark in the rows that have the module.
        table_per_dataset: whether each data set has a separate table, see ``file_name``.
        subtables: headings of the rows' labels by group, in order. If there are any, each group is
            a small table, (a), (b), ..., whose rows are ranked separately.
        references: names of the rows with which others are compared over several seeds: the one in
            their group, else the first.
        subject: name of the row whose gains over the others a verdict judges; "" for none.
        margins: largest difference to a published number that counts as the same, by name of the
            column; see ``docs/verdict.md``.
        claims: sentences of the paper that this table decides.
        scatter: scatter plot that ``--figures`` adds; None for none.
        panels: figure of predicted masks that ``--figures`` adds; None for none.
        curves: what the stages measured by epoch, always written; None for none.
    """

    title: str
    source: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] | None = None
    notes: tuple[str, ...] = ()
    heading: str = "Method"
    modules: tuple[str, ...] = ()
    table_per_dataset: bool = False
    subtables: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    subject: str = ""
    margins: Mapping[str, Margin] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    scatter: Scatter | None = None
    panels: Panels | None = None
    curves: Curves | None = None

    def __post_init__(self) -> None:
        ranges.check(self)
        for row in self.rows:
            if self.subtables and row.group not in self.subtables:
                raise unknown(f"group of the row {row.name!r}", row.group, self.subtables)

    @property
    def own(self) -> bool:
        """Whether it reproduces nothing: no source is named and no number of a paper printed."""
        return is_own(self.source, self.rows)


def is_own(source: str, rows: Iterable[Row]) -> bool:
    """Whether a table of this source and these rows has nothing of a paper to reproduce."""
    return not source and not any(row.printed for row in rows)


def file_name(name: str, dataset: str, own: str) -> str:
    """Return a file's name: NAME for the data set ``own``, the paper's, else NAME-DATASET."""
    return name if dataset == own else f"{name}-{dataset}"

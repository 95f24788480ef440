"""What a report is made from: entries, what rows cost, the data behind columns, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.stats import Interval
from harness.table import Column


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of a table, named by row, column and seed.

    Attributes:
        column: ``Column.name``.
        value: the metric at the table's selection rule, natural units; None unless done.
        last: at the last epoch.
        best: at the best epoch.
        n: images evaluated.
        collapsed: all images got one class.
        stale: made by other sources than the present ones.
        key: the run's key, SHA-256 (hex).
        data: the fingerprint of the data, SHA-256 (hex).
    """

    row: str
    column: str
    seed: int
    status: Literal["done", "failed", "missing"]
    value: float | None = None
    last: float | None = None
    best: float | None = None
    n: int | None = None
    collapsed: bool = False
    stale: bool = False
    key: str = ""
    error: str | None = None
    commit: str = ""
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Costing:
    """What a row costs, in natural units (multiply-accumulates, seconds).

    Attributes:
        change: against the first row of the table that has a number, as a share.
        interval: 95 % interval of a median.
        noisy: why the number should not be trusted; empty if it can be.
        detail: how it was found, as JSON values.
    """

    value: float
    change: float | None = None
    interval: Interval | None = None
    noisy: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ColumnContext:
    """The data behind a column.

    Attributes:
        title: as shown ("BTMD", "Messidor-2 (phantom-fundus)").
        dataset: the data set that was used.
        phantom: generated images stand in for the real ones.
        n: images of the evaluated part.
        majority: the column's metric (natural units) for the classifier that always answers the
            most frequent class, see ``harness.metrics.majority``.
        constants: likewise for segmenters that answer the same everywhere, by name, see
            ``harness.measures.constants``; None where the metric is undefined.
        data: the fingerprint of the prepared store.
        printed_n: images of the part that the paper evaluated.
    """

    column: Column
    title: str
    dataset: str
    phantom: bool = False
    n: int | None = None
    majority: float | None = None
    constants: Mapping[str, float | None] = field(default_factory=dict)
    data: str = ""
    printed_n: int | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """How a table was made.

    Attributes:
        name: of the experiment, and of the files ("table1").
        scaled_down: the profile is smaller than the paper's.
        rule: the epoch that is reported, "last" or "best".
        overrides: ``--set`` values.
        dirty: the present sources differ from the commit.
        created: ISO date; passed in, so that rendering is deterministic.
    """

    name: str
    profile: str
    scaled_down: bool
    split: str
    rule: str
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()
    command: str = ""
    commit: str = ""
    dirty: bool = False
    versions: Mapping[str, str]
    device: str = ""
    created: str = ""

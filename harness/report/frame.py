"""Tables as one tidy pandas frame: a row per run and metric, with where each number comes from.

A frame is made from a table's JSON values and the records behind it, whether these are of a run
store or were kept beside the table. pandas is slow to import and is imported by ``frame`` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.errors import shown
from harness.evaluate import registry
from harness.report.check_table import PROBES
from harness.spec.costs import COSTS
from harness.spec.quantity import Quantity
from harness.store.compact import KeptRecord
from harness.store.record import Record
from harness.store.result import EpochEvaluation, Evaluation, Rule

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame

SCHEMA = 1
"""Version of the columns, increased when one is renamed, removed or means something else."""

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "table": "name of the table's files",
        "profile": "name of the profile",
        "row": "name of the row; of a constant answer that of the answer",
        "label": "its label",
        "group": "its group; empty where the table has none",
        "backbone": "the encoder, as the table names it",
        "method": "types of the chain's methods, as in mae > finetune",
        "dataset": "the data set that was used",
        "column_dataset": "the data set of the table's column, which generated images may replace",
        "phantom": "whether the images are generated",
        "split": "the split of the data set",
        "seed": "of the run; empty for costs and constant answers",
        "stage": "phase of the evaluated stage: pretrain (for probes), finetune or supervised",
        "probe": "linear or knn; empty for the trained model",
        "metric": "name of the metric or cost",
        "unit": "of the value; empty for numbers without one",
        "value": "the number, unrounded; empty where there is none",
        "higher_is_better": "whether higher values are better",
        "n": "number of evaluated images",
        "rule": "epoch that is shown: last, or best on the images that select it",
        "epoch": "number of that epoch, from 1",
        "epochs": "epochs of the evaluated stage",
        "status": "done, failed, missing, computed, or the state of a cell without runs",
        "collapsed": "whether every image got the same class",
        "stale": "whether the run was made by other sources than the present ones",
        "printed": "the paper's number, in the same unit; empty where it prints none",
        "verdict": "on the paper's number; empty where nothing is judged",
        "key": "of the run, SHA-256",
        "commit": "of the sources that made the run",
        "data": "fingerprint of the prepared data, SHA-256",
        "stored_size": "side in pixels of the stored images",
        "image_size": "side in pixels at which they were evaluated",
        "error": "why the run failed",
    }
)
"""All columns in order, and what each holds."""

WHOLE = ("seed", "n", "epoch", "epochs", "stored_size", "image_size")
TRUTH = ("phantom", "higher_is_better", "collapsed", "stale")
NUMBERS = ("value", "printed")

Kept = Record | KeptRecord
"""A record of a run store, or what was kept of one beside a table."""

Line = dict[str, Any]


def lines(
    table: Mapping[str, Any],
    record_of: Callable[[str], Kept | None],
    verdicts: Mapping[tuple[str, str], str],
) -> Iterator[Line]:
    """Yield the lines of one table: every number of the table, and all others of its records.

    Args:
        table: its JSON values, see ``harness.report.data``.
        record_of: returns the record of a key; None where there is none.
        verdicts: on published numbers, by names of row and column.
    """
    common = {"table": table["name"], "profile": table["context"]["profile"]}
    rule: Rule = table["context"]["rule"]
    for row in table["rows"]:
        names = {n: row.get(n) or "" for n in ("label", "group", "backbone")}
        further: dict[tuple[str, str], None] = {}
        for column in table["columns"]:
            cell = row["cells"][column["name"]]
            place = {**common, "row": row["name"], **names, **_column(column), "rule": rule}
            place |= {"printed": cell["printed"]}
            place["verdict"] = verdicts.get((row["name"], column["name"]), "")
            for entry in cell["seeds"]:
                record = record_of(entry["key"]) if entry["key"] else None
                yield {**place, **_of_entry(entry), **_of_record(record, place["probe"], rule)}
            if not cell["seeds"]:
                yield {**place, "status": cell["state"], "value": cell["value"]}
            further[column["asked_for"], place["probe"]] = None
        for dataset, probe in further:
            yield from _further(table, row, names, (dataset, probe), record_of)
    for answer in ("majority", "background", "foreground"):
        for column in table["columns"]:
            values = table.get(answer) or {}
            if values.get(column["name"]) is not None:
                place = {**common, "row": answer, "label": answer, **_column(column)}
                yield {**place, "status": "computed", "value": values[column["name"]]}


def _further(
    table: Mapping[str, Any],
    row: Mapping[str, Any],
    names: Mapping[str, str],
    where: tuple[str, str],
    record_of: Callable[[str], Kept | None],
) -> Iterator[Line]:
    """Yield what the records of a row hold on a data set besides the table's own columns."""
    _dataset, probe = where
    columns = [
        column
        for column in table["columns"]
        if (column["asked_for"], _probe(column)) == where and column["metric"] not in COSTS
    ]
    if not columns:
        return
    rule: Rule = table["context"]["rule"]
    own = {column["metric"] for column in columns}
    for entry in row["cells"][columns[0]["name"]]["seeds"]:
        record = record_of(entry["key"]) if entry["status"] == "done" else None
        evaluation = None if record is None else _evaluation(record, probe)
        at = None if evaluation is None else evaluation.at(rule)
        if record is None or at is None:
            continue
        for name, value in sorted(at.metrics.items()):
            if name in own:
                continue
            quantity = quantity_of(name)
            factor = 1.0 if quantity is None else quantity.factor
            yield {
                "table": table["name"],
                "profile": table["context"]["profile"],
                "row": row["name"],
                **names,
                **_column({**columns[0], "metric": name, "better": _better(quantity)}),
                "rule": rule,
                **_of_entry({**entry, "value": None if value is None else factor * value}),
                **_of_record(record, probe, rule),
            }


def _better(quantity: Quantity | None) -> str | None:
    return None if quantity is None else quantity.better


def _column(column: Mapping[str, Any]) -> Line:
    return {
        "dataset": column["dataset"],
        "column_dataset": column["asked_for"],
        "phantom": column["phantom"],
        "split": column["split"],
        "probe": _probe(column),
        "metric": column["metric"],
        "unit": unit_of(column["metric"]),
        "higher_is_better": None if column["better"] is None else column["better"] == "higher",
        "n": column["n"],
        "data": column["data"],
        "stored_size": column["stored_size"],
    }


def _probe(column: Mapping[str, Any]) -> str:
    words = column["name"].removeprefix(column["asked_for"]).split(".")
    return next((word for word in words if word in PROBES), "")


def _of_entry(entry: Mapping[str, Any]) -> Line:
    names = ("seed", "status", "value", "collapsed", "stale", "key", "commit", "data", "error")
    line = {name: entry[name] for name in names}
    return {**line, "n": entry["n"]} if entry["n"] is not None else line


def _of_record(record: Kept | None, probe: str, rule: Rule) -> Line:
    """Return what a record says of a run beyond its entry in the table."""
    if record is None:
        return {}
    definition = record.definition
    stages = definition["stages"]
    evaluation = _evaluation(record, probe)
    at: EpochEvaluation | None = None if evaluation is None else evaluation.at(rule)
    return {
        "stage": stages[-1]["phase"],
        "method": " > ".join(stage["method"]["type"] for stage in stages),
        "epochs": stages[-1]["recipe"].get("epochs"),
        "epoch": None if at is None or at.epoch is None else at.epoch + 1,
        "image_size": definition["profile"]["image_size"],
    }


def _evaluation(record: Kept, probe: str) -> Evaluation | None:
    if record.result is None:
        return None
    return (record.result.probes or {}).get(probe) if probe else record.result.evaluation


def quantity_of(metric: str) -> Quantity | None:
    """Return a metric or a cost by its name; None of one that no installed package has."""
    return COSTS.get(metric) or registry.known().get(metric)


def unit_of(metric: str) -> str:
    """Return the unit that a metric's title has in brackets, "" for none."""
    quantity = quantity_of(metric)
    if quantity is None:
        return ""
    unit = quantity.title.partition("(")[2].partition(")")[0].split(", ")[-1]
    return unit if unit in UNITS else ""


UNITS = ("%", "G", "ms", "px")
"""Units of quantities, as their titles name them."""


def frame(found: Sequence[Line], *, commit: str) -> DataFrame:
    """Return lines as a frame; its ``attrs`` have the version of the columns and the commit.

    Characters of texts that a terminal would obey are escaped.

    Args:
        found: of one or several tables.
        commit: of the sources that make the frame.
    """
    import pandas as pd

    escaped = [
        {name: shown(v) if isinstance(v, str) else v for name, v in line.items()} for line in found
    ]
    table = pd.DataFrame(escaped, columns=list(COLUMNS))
    texts = [name for name in COLUMNS if name not in (*WHOLE, *TRUTH, *NUMBERS)]
    table = table.astype(
        {
            **dict.fromkeys(WHOLE, "Int64"),
            **dict.fromkeys(TRUTH, "boolean"),
            **dict.fromkeys(NUMBERS, "float64"),
            **dict.fromkeys(texts, "string"),
        }
    )
    table[texts] = table[texts].fillna("")
    table.attrs.update({"schema": SCHEMA, "commit": commit})
    return table


def plain_frame(rows: Sequence[Line]) -> DataFrame:
    """Return rows as a frame without any change."""
    import pandas as pd

    return pd.DataFrame(rows)

"""Metrics of finished runs: as recorded, or computed from the predictions that a run kept.

A metric that was added after a run was finished is not in its record. It needs no new training.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UserError
from harness.evaluate import registry
from harness.spec.quantity import Metric
from harness.store import predictions
from harness.store.predictions import Arrays, UnusableError
from harness.store.record import Record, Records
from harness.store.result import Rule


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A metric of one run.

    Attributes:
        value: in natural units; None where it is undefined or not known.
        lacking: why it is not known; None where it is.
    """

    value: float | None
    lacking: str | None = None


class Measurements:
    """Find metrics of records; predictions are read where a record lacks one, and once."""

    def __init__(self, records: Records) -> None:
        """Begin without any predictions read."""
        self._records = records
        self._read: dict[str, Arrays | UnusableError] = {}

    def of(self, record: Record, metric: Metric, rule: Rule, probe: str | None) -> Measured:
        """Return a metric of a finished run at the epoch that a rule selects.

        Raises:
            UserError: the run's last stage is evaluated by other metrics, or not at all.
        """
        evaluation = record.evaluation(probe)
        found = evaluation.at(rule).metrics
        if metric.name in found:
            return Measured(value=found[metric.name])
        if not registry.measures(metric, evaluation):
            raise UserError(
                f"A column shows {metric.name!r}, but a row's last stage is evaluated by"
                f" {', '.join(found)}; give the column one of these."
            )
        if probe is not None:
            return _lacking(metric, f"predictions of the {probe} probe are not kept")
        try:
            arrays = self._arrays(record)
            return Measured(value=registry.from_predictions(metric, arrays, rule))
        except UnusableError as error:
            return _lacking(metric, str(error))
        except ValueError as error:
            return _lacking(metric, f"it cannot be computed: {error}")

    def _arrays(self, record: Record) -> Arrays:
        if record.key not in self._read:
            path = self._records.predictions_path(record.key)
            try:
                self._read[record.key] = predictions.read(path, record.finished.predictions or "")
            except UnusableError as error:
                self._read[record.key] = error
        found = self._read[record.key]
        if isinstance(found, UnusableError):
            raise found
        return found


def _lacking(metric: Metric, why: str) -> Measured:
    text = f"the record has no {metric.name} and {why}; --fresh for the row makes it anew"
    return Measured(value=None, lacking=text)

"""Metrics of finished runs: from their records, or computed from their stored predictions.

A metric that was added after a run was finished is not in its record; it can be computed from the
run's predictions without a new training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.evaluate import registry
from harness.evaluate.known import MetricError
from harness.spec.quantity import Metric
from harness.store import predictions
from harness.store.predictions import Arrays, UnusableError
from harness.store.record import Record, Records
from harness.store.result import Rule


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Value of a metric for one run.

    Attributes:
        value: in natural units; None if it is undefined or not known.
        lacking: why it is not known; None if it is known or undefined.
    """

    value: float | None
    lacking: str | None = None


class Measurements:
    """Metrics of records; a run's predictions are read at most once, if its record lacks one."""

    def __init__(self, records: Records) -> None:
        """Create a cache without any predictions."""
        self._records = records
        self._cached: dict[str, Arrays | UnusableError] = {}

    def of(self, record: Record, metric: Metric, rule: Rule, probe: str | None) -> Measured:
        """Return a metric of a finished run at the epoch that a rule selects.

        Raises:
            UserError: the run's last stage is evaluated by other metrics, or not at all.
        """
        evaluation = record.evaluation(probe)
        at = evaluation.at(rule)
        if at is None:
            return Measured(value=None, lacking=no_best(record))
        recorded = at.metrics
        if metric.name in recorded:
            return Measured(value=recorded[metric.name])
        if not registry.measures(metric, evaluation):
            raise UserError(
                f"A column shows {metric.name!r}, but a row's last stage is evaluated by"
                f" {', '.join(recorded)}; give the column one of these."
            )
        if probe is not None:
            return _lacking(metric, f"predictions of the {probe} probe are not kept")
        try:
            arrays = self.arrays(record)
            return Measured(value=registry.from_predictions(metric, arrays, rule))
        except UnusableError as error:
            there = self.path(record).exists()
            return _lacking(metric, str(error), AGAIN if there else ANEW)
        # Arrays that are absent, or of another type or shape than the evaluator writes.
        except (ValueError, TypeError, LookupError) as error:
            return _lacking(metric, f"it cannot be computed: {error}")
        except MetricError as error:
            return Measured(value=None, lacking=f"{metric.name} cannot be computed: {error}")

    def path(self, record: Record) -> Path:
        """Return where a run's predictions are stored."""
        return self._records.predictions_path(record.key)

    def arrays(self, record: Record) -> Arrays:
        """Return a run's stored predictions.

        Raises:
            UnusableError: they are missing or do not match the record.
        """
        if record.key not in self._cached:
            path = self.path(record)
            try:
                arrays = predictions.read(path, record.finished.predictions or "")
                _check_count(arrays, record, path)
                self._cached[record.key] = arrays
            except UnusableError as error:
                self._cached[record.key] = error
        cached = self._cached[record.key]
        if isinstance(cached, UnusableError):
            raise cached
        return cached


def no_best(record: Record) -> str:
    """Return why the best epoch of a run is not known, and what to do."""
    history = record.finished.history
    evaluated = sum(any(name.startswith("eval/") for name in figures) for figures in history)
    return (
        f"{evaluated} of {len(history)} epochs were evaluated, so that the best one is not known;"
        " --rule best --fresh for the row evaluates all of them, --rule last shows the last one"
    )


def _check_count(arrays: Arrays, record: Record, path: Path) -> None:
    """Refuse predictions of another number of images than the record was evaluated on."""
    expected, count = record.evaluation().n, len(arrays.get("names", ()))
    if count != expected:
        raise UnusableError(
            f"the predictions {path} are of {count} images, the record is of {expected}"
        )


ANEW = "--fresh for the row makes it anew"
AGAIN = "`harness run` sets the file aside and trains that stage again"


def _lacking(metric: Metric, why: str, then: str = ANEW) -> Measured:
    text = f"the record has no {metric.name} and {why}; {then}"
    return Measured(value=None, lacking=text)

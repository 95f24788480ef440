"""What kept predictions say of the runs of a column, image by image.

Runs are compared on the same images, which are matched by name. Images of one lesion or patient
stay together wherever the prepared data have groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import seed
from harness.data.parts import part_of
from harness.data.prepared import ImageStore, open_store
from harness.evaluate import by_image, registry
from harness.evaluate.by_image import Outcomes
from harness.plan.columns import ColumnPlan
from harness.plan.plan import Plan
from harness.report.values import Entry, GridColumn
from harness.spec.quantity import Metric
from harness.stats import clusters as units
from harness.stats import paired, resample
from harness.store import predictions
from harness.store.predictions import UnusableError
from harness.store.record import Records

ROUNDS = 200
"""Resamples of a metric that is no mean over images; they give its standard error."""

FEWEST = 0.9
"""Share of the resamples in which the metric must be defined."""

CLOSE = 1e-6
"""Largest difference between a metric from predictions and the recorded one, from rounding."""


@dataclass(frozen=True, kw_only=True)
class ImageEvidence:
    """Numbers of the runs of one column on the same n images.

    Attributes:
        numbers: by key of the run: (n,) numbers whose mean is the metric, or with ``drawn``
            (ROUNDS,) values of the metric on images that were resampled alike for all runs.
        drawn: whether the metric was resampled.
        n: number of images.
        clusters: (n,) number of each image's group; None where the data have no groups.
        stream: names that random draws are derived from.
        lacking: why a run has no numbers, by its key.
    """

    numbers: Mapping[str, np.ndarray]
    drawn: bool
    n: int
    clusters: np.ndarray | None
    stream: tuple[str, ...]
    lacking: Mapping[str, str]

    @property
    def units(self) -> int:
        """Number of groups, or of images where each stands alone."""
        return self.n if self.clusters is None else int(self.clusters.max()) + 1

    def p(self, first: Sequence[Entry], second: Sequence[Entry]) -> float | None:
        """Return the two-sided p value of two rows being equal on new images.

        Args:
            first: a row's runs.
            second: another row's runs, of the same seeds; the models as they are, averaged.

        Returns:
            None if a run has no numbers, or there are fewer than two groups of images.
        """
        rows = [[self.numbers.get(entry.key) for entry in runs] for runs in (first, second)]
        if any(numbers is None for row in rows for numbers in row) or self.units < 2:
            return None
        a, b = (np.mean(np.stack(row), axis=0) for row in rows)  # type: ignore[arg-type]
        if self.drawn:
            # The mean over seeds of what was resampled; the observed difference is that of values.
            observed = [
                np.mean([e.value for e in runs if e.value is not None]) for runs in (first, second)
            ]
            return paired.from_draws(float(observed[0] - observed[1]), a - b, self.units)
        keys = sorted(entry.key for entry in (*first, *second))
        rng = np.random.default_rng(seed.derive("ties", *self.stream, *keys))
        return paired.sign_flip(a - b, self.clusters, rng)


Images = Callable[[GridColumn, Sequence[Entry]], ImageEvidence | None]
"""Returns what is known of a column's runs; None if nothing is kept."""


class KeptPredictions:
    """The kept predictions of a plan's runs; those of a run are read once."""

    def __init__(self, plan: Plan, records: Records | None = None) -> None:
        """Remember where runs and data are; nothing is read yet."""
        self._plan = plan
        self._records = records or Records(plan.options.runs)
        self._columns = {column.column.name: column for column in plan.columns}
        self._parts: dict[tuple[str, str], ImageStore] = {}
        self._read: dict[str, Outcomes | str] = {}
        self._orders: dict[tuple[int, int], tuple[np.ndarray, ImageStore, np.ndarray | None]] = {}

    def __call__(self, column: GridColumn, entries: Sequence[Entry]) -> ImageEvidence | None:
        """Return what is kept of a column's runs; None for costs and probes, which keep nothing."""
        return self.of(column.name, entries)

    def of(self, column: str, entries: Sequence[Entry]) -> ImageEvidence | None:
        """Return what is kept of the runs of a column, by its name."""
        planned = self._columns[column]
        if planned.column.cost is not None or planned.column.probe is not None:
            return None
        part = self._part(planned)
        metric = registry.find(planned.column.metric)
        stream = (planned.manifest.fingerprint, planned.split, metric.name)
        groups = None if part.groups is None else units.numbered(np.asarray(part.groups), len(part))
        rows = _drawn_rows(groups, len(part), stream)
        numbers: dict[str, np.ndarray] = {}
        lacking: dict[str, str] = {}
        mean = True
        for entry in entries:
            outcomes = self._outcomes(entry, part)
            if isinstance(outcomes, str):
                lacking[entry.key] = outcomes
                continue
            found = _numbers(outcomes, metric, entry, rows)
            if isinstance(found, str):
                lacking[entry.key] = found
            else:
                numbers[entry.key] = found
                mean = outcomes.values(metric) is not None
        return ImageEvidence(
            numbers=numbers,
            drawn=not mean,
            n=len(part),
            clusters=groups,
            stream=stream,
            lacking=lacking,
        )

    def _part(self, planned: ColumnPlan) -> ImageStore:
        where = (planned.used.name, planned.split)
        if where not in self._parts:
            store = open_store(self._plan.options.data, planned.used.name)
            profile = self._plan.options.profile
            self._parts[where] = part_of(store, planned.split, profile, "reported")
        return self._parts[where]

    def _outcomes(self, entry: Entry, part: ImageStore) -> Outcomes | str:
        """Return a run's answers in the order of the part's images, or why there are none."""
        if entry.key not in self._read:
            try:
                self._read[entry.key] = self._matched(entry, part)
            except UnusableError as error:
                # Without the path, so that one sentence serves all runs of a table.
                path = self._records.predictions_path(entry.key)
                self._read[entry.key] = str(error).replace(f" {path}", "")
            # Arrays that are absent, or of another type or shape than the evaluator writes.
            except (ValueError, TypeError, LookupError) as error:
                self._read[entry.key] = f"the predictions cannot be used: {error}"
        return self._read[entry.key]

    def _matched(self, entry: Entry, part: ImageStore) -> Outcomes | str:
        record = self._records.read(entry.key)
        if record is None or record.status != "done":
            return "there is no record"
        path = self._records.predictions_path(record.key)
        arrays = predictions.read(path, record.finished.predictions or "")
        order = self._order(arrays["names"], part)
        if order is None:
            return "the predictions are of other images than the prepared data have"
        outcomes = by_image.outcomes(arrays, self._plan.options.rule, order)
        if not np.array_equal(outcomes.labels, part.labels):
            return "the predictions have other labels than the prepared data"
        return outcomes

    def _order(self, names: np.ndarray, part: ImageStore) -> np.ndarray | None:
        """Return where a part's images stand in names; None if these are of other images.

        Runs share their names' array, so that this is found once for all of them.
        """
        identity = id(names), id(part)
        if identity not in self._orders:  # both are kept, so that no other gets their identity
            where = {str(name): row for row, name in enumerate(names)}
            same = len(where) == len(names) and where.keys() == set(part.names)
            order = np.asarray([where[name] for name in part.names], np.int64) if same else None
            self._orders[identity] = names, part, order
        return self._orders[identity][2]


def _drawn_rows(
    groups: np.ndarray | None, n: int, stream: tuple[str, ...]
) -> Callable[[], list[np.ndarray]]:
    """Return a function that draws the positions of resampled images, the same in every call."""
    drawn: list[np.ndarray] = []

    def rows() -> list[np.ndarray]:
        if not drawn:
            rng = np.random.default_rng(seed.derive("ties", "resampled images", *stream))
            drawn.extend(resample.rows(n, rng, ROUNDS, clusters=groups))
        return drawn

    return rows


def _numbers(
    outcomes: Outcomes, metric: Metric, entry: Entry, rows: Callable[[], list[np.ndarray]]
) -> np.ndarray | str:
    """Return a run's numbers, see ``ImageEvidence``, or why there are none."""
    values = outcomes.values(metric)
    if values is not None:
        return values if _agrees(float(values.mean()), entry) else OTHER
    statistic = outcomes.statistic(metric)
    if statistic is None:
        return f"{metric.name} is not computed on resampled images"
    if not _agrees(statistic(np.arange(len(outcomes.labels))), entry):
        return OTHER
    if metric.name == "macro_auc" and outcomes.probabilities is not None:
        drawn = macro_aucs(outcomes.probabilities, outcomes.labels, rows())
    else:
        drawn = np.asarray([statistic(chosen) for chosen in rows()])
    if np.isfinite(drawn).mean() < FEWEST:
        return f"{metric.name} is undefined on many resamples of the images"
    return drawn


def macro_aucs(
    probabilities: np.ndarray, labels: np.ndarray, rows: Sequence[np.ndarray]
) -> np.ndarray:
    """Return ``metrics.macro_auc`` of each resample, all of them at once.

    Args:
        probabilities: (n, K).
        labels: (n,).
        rows: positions of the images of each resample.
    """
    counts = np.stack([np.bincount(chosen, minlength=len(labels)) for chosen in rows])
    areas, occurs = [], []
    for k in np.unique(labels):
        areas.append(resample.aucs(probabilities[:, k], labels == k, counts))
        occurs.append(counts[:, labels == k].any(axis=1))
    present = np.stack(occurs)
    # The mean over the classes that were drawn; of one class alone there is none.
    total = np.where(present, np.stack(areas), 0.0).sum(axis=0)
    return np.where(present.sum(axis=0) > 1, total / present.sum(axis=0), np.nan)


OTHER = "the predictions give another value than the record"


def _agrees(value: float, entry: Entry) -> bool:
    return entry.value is not None and abs(value - entry.value) <= CLOSE

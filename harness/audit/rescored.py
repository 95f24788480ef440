"""Finished runs scored again without the images that have a twin in training, from predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.audit import named
from harness.audit.named import Shown
from harness.data import overlap
from harness.data.prepared import ImageStore, Store, subset
from harness.data.twins import Pairs
from harness.errors import listed, text_of
from harness.evaluate import registry
from harness.spec.dataset import PARTS
from harness.spec.quantity import Metric
from harness.stats.intervals import Interval, wilson
from harness.store import predictions
from harness.store.predictions import Arrays
from harness.store.record import Record, Records
from harness.store.result import Rule

RULES: tuple[Rule, ...] = ("last", "best")


@dataclass(frozen=True, kw_only=True)
class Score:
    """A metric over some of a run's reported images.

    Attributes:
        n: number of images.
        value: in natural units; None without images, or where it is undefined.
        interval: Wilson's 95 % interval over images, of an accuracy; it takes them as independent.
    """

    n: int
    value: float | None
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """A finished run with and without the twins of its training images.

    Attributes:
        key: of the run.
        title: table, row, data set, seed and profile, see ``named.title``.
        rows: the rows of shipped tables that show it.
        seed: of the run.
        split: whose parts it trains on and reports.
        metric: "accuracy" or "f1".
        rule: the epoch.
        all: over all reported images.
        without_twins: over those without an identical image or a near-twin among the images that
            the run was trained on.
        twins: over the others.
        without_groups: over those without twins that share no group with a training image either;
            None where no groups are known.
        commit: of the sources that made the run.
    """

    key: str
    title: str
    rows: tuple[Shown, ...]
    seed: int
    split: str
    metric: str
    rule: Rule
    all: Score
    without_twins: Score
    twins: Score
    without_groups: Score | None
    commit: str


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A finished run of the data set that cannot be scored again, and why."""

    key: str
    title: str
    why: str


def rescore(
    records: Records, store: Store, near: Sequence[Pairs]
) -> tuple[tuple[Rescored, ...], tuple[Skipped, ...]]:
    """Score all finished, evaluated runs on a store's images again.

    Args:
        records: of the run store.
        store: the images; runs on another fingerprint of this data set are skipped.
        near: the pairs of near-twins under the rule of counting.
    """
    scored: list[Rescored] = []
    skipped: list[Skipped] = []
    known: dict[tuple[Any, ...], _Related] = {}
    evaluated = list(_evaluated(records, store.manifest.dataset))
    rows = named.find(evaluated)
    for record in evaluated:
        shown = rows.get(record.key, ())
        title = named.title(record.definition, shown)
        try:
            scored += _rescored(record, records, store, near, known, title, shown)
        except _NotScoredError as error:
            skipped.append(Skipped(key=record.key, title=title, why=str(error)))
        except (LookupError, TypeError, ValueError) as error:
            # A definition or predictions that this program did not write lack what it reads, or
            # hold arrays of other shapes or numbers that are not finite.
            why = f"its definition or its predictions cannot be used: {text_of(error)}"
            skipped.append(Skipped(key=record.key, title=title, why=why))
    return tuple(scored), tuple(skipped)


def _evaluated(records: Records, dataset: str) -> Iterator[Record]:
    """Yield the finished, evaluated runs on a data set, by key."""
    for key in sorted(path.stem for path in records.folder.glob("records/[!.]*.json")):
        record = records.read(key)
        if record is None or record.result is None or record.result.evaluation is None:
            continue
        if record.definition.get("dataset") == dataset:
            yield record


class _NotScoredError(Exception):
    """A run cannot be scored again; the message says why."""


@dataclass(frozen=True)
class _Related:
    """Rows of the store that are reported, have a twin in training, or share a group with it."""

    reported: np.ndarray
    twins: np.ndarray
    grouped: np.ndarray | None


def _rescored(  # noqa: PLR0913 (what all runs share, and the run)
    record: Record,
    records: Records,
    store: Store,
    near: Sequence[Pairs],
    known: dict[tuple[Any, ...], _Related],
    title: str,
    shown: tuple[Shown, ...],
) -> list[Rescored]:
    definition = record.definition
    if definition["data"] != store.manifest.fingerprint:
        raise _NotScoredError(
            f"it was trained on other contents of the data set ({str(definition['data'])[:12]}, the"
            f" store has {store.manifest.fingerprint[:12]})"
        )
    arrays = _arrays(record, records)
    profile = definition["profile"]
    identity = (definition["split"], profile["train_images"], profile["eval_images"])
    if identity not in known:
        known[identity] = _related(store, near, *identity)
    related = known[identity]
    arrays = _in_order(arrays, store, related.reported)
    twins = np.isin(related.reported, related.twins)
    grouped = None if related.grouped is None else np.isin(related.reported, related.grouped)
    metric = registry.find("f1" if "truth" in arrays else "accuracy")
    return [
        Rescored(
            key=record.key,
            title=title,
            rows=shown,
            seed=definition["seed"],
            split=definition["split"],
            metric=metric.name,
            rule=rule,
            all=_score(metric, arrays, rule, np.ones(len(twins), bool)),
            without_twins=_score(metric, arrays, rule, ~twins),
            twins=_score(metric, arrays, rule, twins),
            without_groups=(
                None if grouped is None else _score(metric, arrays, rule, ~twins & ~grouped)
            ),
            commit=record.commit,
        )
        for rule in RULES
        if record.evaluation().at(rule) is not None
    ]


def _arrays(record: Record, records: Records) -> Arrays:
    expected = record.finished.predictions
    if expected is None:
        raise _NotScoredError("its record names no predictions")
    try:
        return predictions.read(records.predictions_path(record.key), expected)
    except predictions.UnusableError as error:
        raise _NotScoredError(str(error)) from error


def _in_order(arrays: Arrays, store: Store, reported: np.ndarray) -> Arrays:
    """Return predictions in the order of the reported images, which are matched by name.

    Raises:
        _NotScoredError: they are of other images, or were compared with other labels.
    """
    images = store.everything()
    wanted = [images.names[row] for row in reported]
    where = {str(name): row for row, name in enumerate(arrays["names"].tolist())}
    if len(where) != len(arrays["names"]) or where.keys() != set(wanted):
        raise _NotScoredError("its predictions are not of the images that its split reports")
    ordered = _take(arrays, np.asarray([where[name] for name in wanted], np.int64))
    labels, expected = np.asarray(ordered["labels"]), images.labels[reported]
    if labels.shape != expected.shape:
        raise _NotScoredError("its predictions do not have one label for each image")
    if len(wrong := np.flatnonzero(labels != expected)):
        raise _NotScoredError(
            f"its predictions have other labels than the data set for {len(wrong)} of"
            f" {len(wanted)} images: {listed([wanted[row] for row in wrong])}"
        )
    return ordered


def _related(
    store: Store, near: Sequence[Pairs], split: str, train_images: int, eval_images: int
) -> _Related:
    """Return the reported images of a split and profile, and their ties to the trained ones."""
    if split not in store.splits:
        raise _NotScoredError(f"the store has no split {split!r}")
    parts = PARTS[split]  # type: ignore[index]
    trained = subset(store.part(split, parts.trained_on), train_images)
    reported = subset(store.part(split, parts.reported), eval_images)
    rows: Callable[[ImageStore], list[int]] = lambda part: part.index.tolist()  # noqa: E731
    groups = store.everything().groups
    (found,) = overlap.find(
        {split: {"train": rows(trained), "eval": rows(reported)}}, store.pixels, groups, near
    )
    return _Related(
        reported=reported.index,
        twins=np.concatenate([found.rows["exact"], found.rows["near"]]),
        grouped=None if groups is None else found.rows["grouped"],
    )


def _score(metric: Metric, arrays: Arrays, rule: Rule, chosen: np.ndarray) -> Score:
    """Return a metric over the chosen images, (n,) bool."""
    n = int(chosen.sum())
    if not n:
        return Score(n=0, value=None)
    value = registry.from_predictions(metric, _take(arrays, chosen), rule)
    if metric.name != "accuracy" or value is None:
        return Score(n=n, value=value)
    return Score(n=n, value=value, interval=wilson(round(value * n), n))


def _take(arrays: Arrays, chosen: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return the chosen rows, numbers or (n,) bool, of every array with one row per image."""
    n = len(arrays["names"])
    return {
        name: array[chosen] if array.shape[:1] == (n,) else array for name, array in arrays.items()
    }

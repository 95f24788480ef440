"""Compare two rows, or the rows that two results share, on the same images and seeds.

The tests are those of a table's ties: Student's paired t over seeds and a test over images; the
larger p counts, and with several comparisons Holm's correction is over all of them. With one seed
only the trained models are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import seed
from harness.errors import UserError, listed
from harness.ranges import said
from harness.report.frame import unit_of
from harness.report.numbers import bracket, signed
from harness.report.values import Entry
from harness.results import html
from harness.results.part import Part
from harness.results.result import Result, RowOf
from harness.spec.costs import COSTS
from harness.stats import grid, intervals, resample
from harness.stats.intervals import Interval
from harness.stats.location import paired_t
from harness.stats.multiple import holm, significant
from harness.wording import counted

if TYPE_CHECKING:
    from harness.report.frame import DataFrame

CANNOT_TELL = "cannot tell"

ROUNDS = 2000
"""Resamples of images that give the interval of one seed's difference."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of two rows on one data set by one metric, in the metric's display unit.

    Attributes:
        a, b: labels of the rows, of which b is subtracted from a.
        dataset: the data set.
        metric: name of the metric.
        probe: of the encoder; "" for the trained models.
        unit: of the numbers.
        n: evaluated images.
        seeds: finished in both rows.
        difference: mean over these seeds.
        interval: 95 %, over the seeds, with one seed over the images; None where unknown.
        over: "seeds" or "images", what the interval is over.
        seeds_p: p of no difference over seeds; None with one seed.
        images_p: p of no difference over images; None where predictions are not known.
        p: the larger of both, after Holm's correction; None where there is neither.
        better: label of the better row, or "cannot tell".
        why: why it cannot be told, or what was not tested; "" for nothing.
        digits: decimals shown.
    """

    a: str
    b: str
    dataset: str
    metric: str
    probe: str
    unit: str
    n: int | None
    seeds: tuple[int, ...]
    difference: float
    interval: Interval | None
    over: str
    seeds_p: float | None
    images_p: float | None
    p: float | None
    better: str
    why: str
    digits: int

    def __str__(self) -> str:
        """Return the difference in one line."""
        interval = "" if self.interval is None else f" {bracket(self.interval, self.digits)}"
        p = "p unknown" if self.p is None else f"p = {self.p:.3g}"
        seeds = f"{len(self.seeds)} seed{'' if len(self.seeds) == 1 else 's'}"
        told = self.better if self.better == CANNOT_TELL else f"{self.better} is better"
        why = f" ({self.why})" if self.why else ""
        metric = f"{self.probe} probe, {self.metric}" if self.probe else self.metric
        return (
            f"{self.a} less {self.b}, {self.dataset}, {metric}:"
            f" {signed(self.difference, self.digits)}{interval} {self.unit},".replace(" ,", ",")
            + f" {p}, {self.n} images, {seeds}: {told}{why}"
        )


@dataclass(frozen=True)
class Differences(Sequence[Difference]):
    """The differences of a comparison, in order."""

    found: tuple[Difference, ...]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.found)

    def __getitem__(self, place: Any) -> Any:
        """Return one difference, or some of them."""
        return self.found[place]

    def __str__(self) -> str:
        """Return one line per difference."""
        return "\n".join(map(str, self.found))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return a table for notebooks."""
        heads = ("Comparison", "Data set", "Metric", "Difference", "95 % interval", "p", "n",
                 "Seeds", "Better")  # fmt: skip
        return html.table(
            heads,
            [
                (
                    f"{d.a} less {d.b}",
                    d.dataset,
                    d.metric if not d.probe else f"{d.probe} probe, {d.metric}",
                    signed(d.difference, d.digits),
                    "" if d.interval is None else f"{bracket(d.interval, d.digits)}, {d.over}",
                    "" if d.p is None else f"{d.p:.3g}",
                    "" if d.n is None else str(d.n),
                    ", ".join(map(str, d.seeds)),
                    f"{d.better} ({d.why})" if d.why else d.better,
                )
                for d in self.found
            ],
        )

    @property
    def frame(self) -> DataFrame:
        """The differences as a pandas frame, a row each."""
        from harness.report.frame import plain_frame

        rows = []
        for d in self.found:
            low, high = (None, None) if d.interval is None else (d.interval.low, d.interval.high)
            values = {k: v for k, v in vars(d).items() if k not in ("interval", "digits")}
            rows.append({**values, "low": low, "high": high, "seeds": len(d.seeds)})
        return plain_frame(rows)


def compare(a: RowOf | Result, b: RowOf | Result) -> Differences:
    """Compare two rows (``result["mae"]``), or all rows that two results share by name.

    Raises:
        UserError: there is nothing that both have, or what both have are not the same images and
            seeds.
    """
    pairs = list(_pairs(a, b))
    tested = [_difference(*pair) for pair in pairs]
    known = [d.p for d in tested if d.p is not None]
    corrected = iter(holm(known))
    return Differences(
        tuple(_told(d if d.p is None else replace(d, p=next(corrected))) for d in tested)
    )


@dataclass(frozen=True, kw_only=True)
class _Side:
    """A row of a table in one of its columns."""

    part: Part
    row: str
    column: Mapping[str, Any]
    label: str


def _pairs(a: RowOf | Result, b: RowOf | Result) -> Iterator[tuple[_Side, _Side]]:
    for given in (a, b):
        if not isinstance(given, RowOf | Result):
            raise UserError(
                f"{said(given)} cannot be compared; give two rows, as result['mae'], or two"
                " results of harness.api."
            )
    if isinstance(a, Result) != isinstance(b, Result):
        raise UserError("A row and a whole result cannot be compared; give two of a kind.")
    if isinstance(a, Result) and isinstance(b, Result):
        names = [name for name in a.rows if name in b.rows]
        if not names:
            raise UserError(
                f"No row is in both results: the first has {listed(a.rows)}, the second"
                f" {listed(b.rows)}; compare two rows, as first['mae'] and second['msmae']."
            )
        sides = [(a[name], b[name], " (first)", " (second)") for name in names]
    else:
        assert isinstance(a, RowOf)
        assert isinstance(b, RowOf)
        same = a.label == b.label
        sides = [(a, b, " (first)" if same else "", " (second)" if same else "")]
    found = False
    for first, second, *marks in sides:
        for pair in _columns(first, second, marks):
            found = True
            yield pair
    if not found:
        raise UserError(
            "There is no data set and metric that both show:"
            f" {_shown(a)} against {_shown(b)}; run both on the same data sets."
        )


def _shown(given: RowOf | Result) -> str:
    parts = given.result.parts if isinstance(given, RowOf) else given.parts
    return listed(list(dict.fromkeys(c["name"] for part in parts for c in part.columns)))


def _columns(first: RowOf, second: RowOf, marks: Sequence[str]) -> Iterator[tuple[_Side, _Side]]:
    """Yield both rows in each column that both have."""
    others = {column["name"]: (part, column) for part, column in second.columns()}
    for part, column in first.columns():
        if column["metric"] in COSTS or column["name"] not in others:
            continue
        there, other = others[column["name"]]
        yield (
            _Side(part=part, row=first.name, column=column, label=f"{first.label}{marks[0]}"),
            _Side(part=there, row=second.name, column=other, label=f"{second.label}{marks[1]}"),
        )


def _difference(a: _Side, b: _Side) -> Difference:
    """Compare two rows in a column.

    Raises:
        UserError: they are of other images, or have no seed in common.
    """
    _check_paired(a, b)
    runs = [side.part.entries(side.row, side.column) for side in (a, b)]
    seeds = tuple(sorted(runs[0].keys() & runs[1].keys()))
    if not seeds:
        has = [", ".join(map(str, r)) or "none" for r in runs]
        raise UserError(
            f"{a.label} and {b.label} have no finished seed in common on {a.column['dataset']}:"
            f" the first has {has[0]}, the second {has[1]}; train both with the same seeds."
        )
    pairs = [[run[s] for s in seeds] for run in runs]
    factor = float(a.column["factor"])
    own = [[e.value or 0.0 for e in entries] for entries in pairs]
    values = [factor * x - factor * y for x, y in zip(*own, strict=True)]
    n = pairs[0][0].n
    metric = a.column["metric"]
    step = grid.step_of(metric, n, factor=factor, digits=a.column["digits"])
    least = grid.least_sd_of_differences(step, step)
    several = len(seeds) > 1
    images = _over_images(a, b, pairs, factor)
    # In the metric's own unit, as in ``harness.report.ties``.
    seeds_p = paired_t(*own, least=least / factor).p if several else None
    ps = [p for p in (seeds_p, images.p) if p is not None]
    return Difference(
        a=a.label,
        b=b.label,
        dataset=a.column["dataset"],
        metric=metric,
        probe=next((w for w in a.column["name"].split(".")[1:] if w in ("linear", "knn")), ""),
        unit=unit_of(metric),
        n=n,
        seeds=seeds,
        difference=intervals.mean(values),
        interval=intervals.t_interval(values, least=least) if several else images.interval,
        over="seeds" if several else "images",
        seeds_p=seeds_p,
        images_p=images.p,
        p=max(ps) if ps else None,
        better=(a if _is_better(intervals.mean(values), a.column) else b).label,
        why=_why(pairs, images.lacking, several=several),
        digits=a.column["digits"],
    )


def _is_better(difference: float, column: Mapping[str, Any]) -> bool:
    return difference > 0 if column["better"] == "higher" else difference < 0


def _why(pairs: Sequence[Sequence[Entry]], lacking: str, *, several: bool) -> str:
    """Return what a reader has to know of a comparison's runs."""
    texts = [] if several else ["these trained models; one seed says nothing of methods"]
    collapsed = sum(entry.collapsed for entries in pairs for entry in entries)
    stale = sum(entry.stale for entries in pairs for entry in entries)
    if collapsed:
        do = "gives" if collapsed == 1 else "give"
        texts.append(f"{counted(collapsed, 'run')} {do} every image the same class")
    if stale:
        were = "was" if stale == 1 else "were"
        texts.append(f"{counted(stale, 'run')} {were} made by other sources")
    texts += [f"images were not resampled: {lacking}"] if lacking else []
    return "; ".join(texts)


def _told(difference: Difference) -> Difference:
    """Return a difference that names the better row only where the tests tell it."""
    p = difference.p
    if p is not None and significant(p) and difference.difference:
        return difference
    return replace(difference, better=CANNOT_TELL)


def _check_paired(a: _Side, b: _Side) -> None:
    """Refuse two columns that are not of the same images.

    Raises:
        UserError: data, split, or the profile's part of it differ.
    """
    facts = {
        "data set": [side.column["dataset"] for side in (a, b)],
        "data": [side.column["data"][:12] for side in (a, b)],
        "split": [side.column["split"] for side in (a, b)],
        "number of images": [str(side.column["n"]) for side in (a, b)],
        "epoch that is shown": [side.part.values["context"]["rule"] for side in (a, b)],
    }
    for what, (first, second) in facts.items():
        if first != second:
            raise UserError(
                f"{a.label} and {b.label} are not paired on {a.column['dataset']}: {what}"
                f" {first} against {second}; run both on the same images."
            )


@dataclass(frozen=True, kw_only=True)
class _OverImages:
    """The test over images, and with one seed the interval over them."""

    p: float | None = None
    interval: Interval | None = None
    lacking: str = ""


def _over_images(
    a: _Side, b: _Side, pairs: Sequence[Sequence[Entry]], factor: float
) -> _OverImages:
    known = [
        side.part.images(side.column, entries) for side, entries in zip((a, b), pairs, strict=True)
    ]
    if known[0] is None or known[1] is None:
        return _OverImages(lacking="no predictions are kept")
    if known[0].same != known[1].same:
        return _OverImages(lacking="nothing shows that both are of the same images in one order")
    first, second = known[0].evidence, known[1].evidence
    evidence = replace(
        first,
        numbers={**first.numbers, **second.numbers},
        lacking={**first.lacking, **second.lacking},
    )
    p = evidence.p(*pairs)
    if p is None:
        reasons = dict.fromkeys(evidence.lacking.values())
        return _OverImages(lacking="; ".join(reasons) or "no predictions are kept")
    if len(pairs[0]) > 1:
        return _OverImages(p=p)
    x, y = (evidence.numbers[entries[0].key] for entries in pairs)
    if evidence.drawn:
        draws = x - y
    else:
        names = sorted(entry.key for entries in pairs for entry in entries)
        rng = np.random.default_rng(seed.derive("compare", *evidence.stream, *names))
        draws = resample.bootstrap_means(x - y, rng, ROUNDS, clusters=evidence.clusters)
    draws = draws[np.isfinite(draws)]
    interval = resample.percentile(draws, size=evidence.units)
    return _OverImages(p=p, interval=Interval(factor * interval.low, factor * interval.high))

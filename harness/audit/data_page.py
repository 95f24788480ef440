"""The audit of a data set as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.audit.data import DataAudit, chosen
from harness.audit.page import Page, Section
from harness.audit.rescored import Rescored, Score
from harness.audit.twinned import Kind, TwinPair
from harness.data.overlap import KINDS as RELATIONS
from harness.data.overlap import sentence
from harness.errors import listed

NAMED = 20
"""Pairs and groups of a kind that the page names; JSON has all."""

KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        "identical": "identical pixels",
        "near": "near-twins",
        "looser": "by the looser rule alone",
    }
)
"""Kinds of pairs in words."""

PAIR = ("first", "second", "classes", "parts", "bits", "correlation")
"""Headings of a pair."""


def page(found: DataAudit, *, picture: str = "") -> Page:
    """Return the page of the audit of a data set.

    Args:
        found: the audit.
        picture: name of the gallery's file beside the page; "" without one.
    """
    name = found.dataset.name
    return Page(
        title=f"Audit of {found.dataset.title}",
        command=f"harness audit data {name} --format md,json,png",
        lead=_lead(found),
        sections=(
            _balance(found),
            _overlaps(found),
            _conflicts(found),
            *(_twins(found, kind) for kind in KINDS if found.of_kind(kind)),
            *([_gallery(found, picture)] if picture else []),
            *([_torn(found)] if found.torn else []),
            _odd(found),
            _unseen(found),
            _runs(found),
        ),
    )


def _lead(found: DataAudit) -> tuple[str, ...]:
    manifest, rules = found.manifest, found.rules
    counts = found.dataset.counts
    common = max(counts)
    return (
        f"{sum(counts)} images in {len(counts)} classes, stored at {manifest.size} px, fingerprint"
        f" {manifest.fingerprint[:12]}. Always answering {_common_class(found)!r} is right for"
        f" {common} of them ({100 * common / sum(counts):.2f} %).",
        f"Twins: at most {rules.check.distance} of 256 bits of the difference hash differ and grey"
        f" versions correlate above {rules.check.correlation:g}; {len(found.near)} pairs. By the"
        f" looser rule of the clean split ({rules.join.distance} bits, {rules.join.correlation:g})"
        f" {len(found.pairs)} pairs. `harness data verify {found.dataset.name} --pairs FILE.csv`"
        " lists all.",
        *manifest.remarks,
    )


def _common_class(found: DataAudit) -> str:
    counts = found.dataset.counts
    return found.dataset.classes[counts.index(max(counts))]


def _balance(found: DataAudit) -> Section:
    rows = []
    for split, parts in found.balance.items():
        for part, counts in parts.items():
            total = sum(counts.values())
            most = max(counts.values(), default=0)
            share = f"{100 * most / total:.2f} %" if total else "-"
            rows.append((split, part, str(total), *map(str, counts.values()), share))
    return Section(
        title="Class balance",
        head=("split", "part", "images", *found.dataset.classes, "most frequent"),
        rows=tuple(rows),
    )


def _overlaps(found: DataAudit) -> Section:
    group = found.dataset.group_title
    grouped = any(o.overlap.groups for o in found.overlaps)
    texts, rows = [], []
    for one in found.overlaps:
        counts = one.overlap
        texts.append(f"{counts.split}: {sentence(counts, group if grouped else None)}.")
        for kind in RELATIONS:
            by_class = one.by_class[kind]
            if sum(by_class.values()):
                title = {"exact": "identical", "near": "near-twin", "grouped": f"same {group}"}
                where = f"{counts.part} in {counts.other}"
                rows.append((counts.split, where, title[kind], *map(str, by_class.values())))
    return Section(
        title="Twins and groups across parts",
        text=tuple(texts),
        head=("split", "parts", "kind", *found.dataset.classes) if rows else (),
        rows=tuple(rows),
    )


def _conflicts(found: DataAudit) -> Section:
    conflicts = found.conflicts
    near = sum(p.near or p.identical for p in conflicts)
    text = (
        f"{near} pairs of twins have two labels, {len(conflicts)} by the looser rule; one of the"
        " two is wrong, or the image shows both."
        if conflicts
        else "No pair has two labels.",
    )
    return Section(
        title="Label conflicts",
        text=(*text, *_more(len(conflicts))),
        head=(*PAIR, "rule") if conflicts else (),
        rows=tuple((*_pair(p), "looser" if p.kind == "looser" else "twins") for p in conflicts)[
            :NAMED
        ],
    )


def _twins(found: DataAudit, kind: Kind) -> Section:
    """Return the first pairs of a kind; those across parts leak from training into evaluation."""
    pairs = found.of_kind(kind)
    across = sum(pair.across for pair in pairs)
    return Section(
        title=f"Pairs: {KINDS[kind]}",
        text=(
            f"{min(len(pairs), NAMED)} of {len(pairs)} shown, the closest first; {across} lie in"
            f" two parts of the {found.split} split. The JSON file has all.",
        ),
        head=PAIR,
        rows=_rows(pairs[:NAMED]),
    )


def _rows(pairs: Sequence[TwinPair]) -> tuple[tuple[str, ...], ...]:
    return tuple(_pair(pair) for pair in pairs)


def _pair(pair: TwinPair) -> tuple[str, ...]:
    return (
        pair.first,
        pair.second,
        " / ".join(pair.classes),
        " / ".join(part or "unused" for part in pair.parts),
        "identical" if pair.identical else str(pair.distance),
        f"{pair.correlation:.4f}",
    )


def _gallery(found: DataAudit, picture: str) -> Section:
    text = f"Each line: both images and their difference; {chosen(found).text}."
    return Section(title="Gallery of pairs", text=(text,), picture=picture)


def _more(count: int) -> tuple[str, ...]:
    return (f"{NAMED} of {count} are shown, the JSON file has all.",) if count > NAMED else ()


def _torn(found: DataAudit) -> Section:
    return Section(
        title=f"Images of one {found.dataset.group_title} with several labels",
        text=(f"{len(found.torn)} of them.", *_more(len(found.torn))),
        head=(found.dataset.group_title, "images", "classes"),
        rows=tuple((t.group, listed(t.names), ", ".join(t.classes)) for t in found.torn[:NAMED]),
    )


def _odd(found: DataAudit) -> Section:
    return Section(
        title="Odd images",
        text=() if found.odd else ("None.",),
        head=("what", "images", "names") if found.odd else (),
        rows=tuple((o.what, str(len(o.names)), listed(o.names)) for o in found.odd),
    )


def _unseen(found: DataAudit) -> Section:
    return Section(
        title="Training images that the released code never sees",
        text=(
            "On one GPU it repeats one permutation (seed 0) and drops the incomplete last batch."
            " Images are listed by class, then by name, as its loader does.",
            *(() if found.unseen else ("Fewer images than one batch: no stage could run.",)),
        ),
        head=("stage", "batch", "never seen", "share", *found.dataset.classes, "names")
        if found.unseen
        else (),
        rows=tuple(
            (
                u.stage,
                str(u.batch),
                f"{len(u.names)} of {u.images}",
                f"{100 * len(u.names) / u.images:.1f} %",
                *map(str, u.by_class.values()),
                listed(u.names),
            )
            for u in found.unseen
        ),
    )


def _runs(found: DataAudit) -> Section:
    runs = [run for run in found.runs if run.rule == "last"]
    group = found.dataset.group_title
    grouped = any(run.without_groups is not None for run in runs)
    texts = [
        f"{len(runs)} finished runs on these images, at the last epoch, from their kept"
        " predictions; brackets are Wilson's 95 % interval over images, taken as independent."
        if runs
        else "No finished run on these images.",
        *(
            [
                f"The last column leaves out the twins and every image of a {group} of which"
                " training has an image."
            ]
            if grouped
            else []
        ),
        *(f"Not scored: {s.title} ({s.key[:12]}): {s.why}." for s in found.skipped),
    ]
    scores = ("all images", "without twins", "the twins alone")
    apart = (f"without twins and shared {group}s",) if grouped else ()
    return Section(
        title="Finished runs without the twins",
        text=tuple(texts),
        head=("table / row / data set / seed (profile)", "key", "split", "metric", *scores, *apart)
        if runs
        else (),
        rows=tuple(_run(run, grouped=grouped) for run in runs),
    )


def _run(run: Rescored, *, grouped: bool) -> tuple[str, ...]:
    apart = "-" if run.without_groups is None else _score(run.without_groups)
    return (
        run.title,
        run.key[:12],
        run.split,
        f"{run.metric} (%)",
        _score(run.all),
        _score(run.without_twins),
        _score(run.twins),
        *((apart,) if grouped else ()),
    )


def _score(score: Score) -> str:
    if score.value is None:
        return f"- (n {score.n})"
    interval = score.interval
    between = "" if interval is None else f" [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
    return f"{100 * score.value:.2f}{between} (n {score.n})"

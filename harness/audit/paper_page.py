"""The audit of the paper as a page."""

from __future__ import annotations

from harness.audit.chance import Hits
from harness.audit.margins import ALPHA
from harness.audit.page import Page, Section
from harness.audit.paper import PaperAudit, repeated, spread

COMMAND = "harness audit paper --format md,tex,json"


def page(audit: PaperAudit) -> Page:
    """Return the page of the audit of the paper."""
    return Page(
        title="Audit of the paper's numbers",
        command=COMMAND,
        lead=_lead(audit),
        sections=(
            _rounding(audit),
            _chance(audit),
            _unattainable(audit),
            _constants(audit),
            _margins(audit),
            _noise(audit),
            _arithmetic(audit),
            _inconsistencies(audit),
            _halves(audit),
            _flops(audit),
            _numbers(audit),
        ),
    )


def _lead(audit: PaperAudit) -> tuple[str, ...]:
    cells = sum(r.cells for r in audit.roundings)
    by_rounding = sum(r.by_rounding for r in audit.roundings)
    by_any = sum(r.by_any for r in audit.roundings)
    possible = sum(e.constant == "possible" for e in audit.entries)
    agree = sum(c.agrees for c in audit.arithmetic)
    return (
        f"{len(audit.entries)} published numbers, read from the tables' own files: every number in"
        " the rows of Tables 1, 2, 3, 7 and 8, a row's cost once, repeated numbers as often as"
        " they are printed. Nothing was trained.",
        f"Of {cells} accuracies, {by_rounding} are no share of the evaluated images by rounding,"
        f" and {by_any} of these not by truncation either. {len(audit.collapsed)} equal the"
        f" constant answer of a split that keeps each class's share; {possible} more could equal"
        " that of a random split. "
        f"{agree} of {len(audit.arithmetic)} numbers of the text follow from the tables.",
        "Counts by rounding beside chance: "
        + "; ".join(
            f"{c.what}, {c.by_rounding.found} of {c.numbers} different accuracies where"
            f" {c.by_rounding.expected:.1f} are expected"
            for c in audit.chances[-2:]
        )
        + ".",
    )


def _rounding(audit: PaperAudit) -> Section:
    return Section(
        title="Accuracies that are no count of images",
        text=(
            "The released evaluation gives exactly 100 k / n for one run. Each accuracy is compared"
            " with every k, from its printed digits, in exact arithmetic (GRIM; Brown and Heathers"
            " 2017): rounded half up or half to even, or truncated.",
        ),
        head=("table", "accuracies", "not by rounding", "nor by truncation"),
        rows=tuple(
            (r.table, str(r.cells), str(r.by_rounding), str(r.by_any)) for r in audit.roundings
        ),
    )


def _chance(audit: PaperAudit) -> Section:
    return Section(
        title="Counts by chance",
        text=(
            "A number that has nothing to do with counts of images hits one by chance. Of the"
            " numbers that can be printed from 0 to 100, so many are one: "
            + "; ".join(
                f"{r.dataset} (n = {r.n}, {r.digits} decimals) {r.by_rounding} of {r.printable} by"
                f" rounding, {100 * r.by_rounding / r.printable:.1f} %, and {r.by_any} by rounding"
                f" or truncation, {100 * r.by_any / r.printable:.1f} %"
                for r in audit.rates
            )
            + ".",
            "Found beside expected, if each number were any printable one with the same chance; p"
            " is the chance of so many or more, and of so few or fewer. Equal numbers of a data set"
            " count once. Many more than expected: most are counts. As many as expected: nothing"
            " speaks for their being counts of one run.",
        ),
        head=(
            "table",
            "different numbers (printed)",
            "by rounding: found, expected",
            "p as many, as few",
            "or by truncation: found, expected",
            "p as many, as few",
        ),
        rows=tuple(
            (
                c.what,
                f"{c.numbers} ({c.cells})",
                f"{c.by_rounding.found}, {c.by_rounding.expected:.1f}",
                _tails(c.by_rounding),
                f"{c.by_any.found}, {c.by_any.expected:.1f}",
                _tails(c.by_any),
            )
            for c in audit.chances
        ),
    )


def _tails(hits: Hits) -> str:
    return f"{hits.p_as_many:.2g}, {hits.p_as_few:.2g}"


def _unattainable(audit: PaperAudit) -> Section:
    wrong = [e for e in audit.entries if e.grim is not None and not e.grim.rounded]
    return Section(
        title="These accuracies",
        text=(
            "A mean of several runs has other denominators; where at most five would do, the least"
            " number is named. The paper speaks of no repeated runs.",
        ),
        head=("table", "row", "data set", "printed", "finding"),
        rows=tuple(
            (e.number.source, e.number.label, e.number.dataset, e.number.printed.text, e.finding)
            for e in wrong
        ),
    )


def _constants(audit: PaperAudit) -> Section:
    rows = []
    for c in audit.constants:
        equal = [
            f"{e.number.label} ({e.number.source})"
            for e in audit.entries
            if e.constant == "equal" and e.number.dataset == c.dataset
        ]
        possible = [
            e for e in audit.entries if e.constant == "possible" and e.number.dataset == c.dataset
        ]
        rows.append(
            (
                c.dataset,
                f"{c.answer}: {c.of_class} of {c.whole}",
                " or ".join(map(str, c.counts)) + f" of {c.n}",
                "official" if c.official else f"{c.low} to {c.high}",
                ", ".join(equal) or "none",
                str(len(possible)),
            )
        )
    shared = [
        f"{table}, {dataset}: {count} images in {', '.join(labels)}"
        for table, dataset, count, labels in repeated(audit.entries)
    ]
    return Section(
        title="Accuracies that equal the constant answer",
        text=(
            "The paper publishes no lists of its parts. The count of the most frequent class is"
            " known for BTMD's official part; of the others it is the class's share, or in the"
            " central 95 % of random splits, the range.",
            "Rows of one column with the same count: " + "; ".join(shared) + ".",
        ),
        head=("data set", "answer", "its count", "random split", "equal", "within the range"),
        rows=tuple(rows),
    )


def _margins(audit: PaperAudit) -> Section:
    rows = []
    for m in audit.margins:
        images = str(m.largest) if m.largest == m.smallest else f"{m.smallest} to {m.largest}"
        rows.append(
            (
                f"{m.best.source}, {m.best.dataset}",
                f"{m.best.label} {m.best.printed.text} over {m.second.label}"
                f" {m.second.printed.text}",
                f"{images} of {m.n}",
                f"{m.p_best:.2g} to {m.p_worst:.2g}",
                f"{m.p_unpaired:.2g}",
                "never" if m.most_lost is None else f"at most {m.most_lost}",
            )
        )
    return Section(
        title="Margins of the best over the second, in images",
        text=(
            "Two counts do not say on which images two models differ, so McNemar's exact p is a"
            " range: the smallest value holds if the second model gets no image right that the"
            " first gets wrong, the largest if it gets as many as it can. The last column says how"
            f" many it may get for p < {ALPHA}. Fisher's p is as if they had been tested on"
            " different images. Both take images as independent (fundus photographs come in pairs"
            " of eyes, dermatoscopic ones in lesions) and each model as one run: another seed moves"
            " the counts as well.",
        ),
        head=(
            "column",
            "best over second",
            "margin",
            "McNemar p",
            "Fisher p",
            "second alone right",
        ),
        rows=tuple(rows),
    )


def _noise(audit: PaperAudit) -> Section:
    lines = []
    for m in audit.margins:
        lines.append(
            f"{m.best.dataset}: {m.points:.2f} points are {m.errors:.2f} standard errors of the"
            " difference of two independent models on as many images."
        )
    for dataset in ("messidor2", "btmd"):
        number, width = spread(audit.entries, dataset)
        n = next(c.n for c in audit.constants if c.dataset == dataset)
        lines.append(
            f"Table 8 varies MSMAE's settings: {number} different accuracies on {dataset} within"
            f" {float(width):.2f} points, {float(width) * n / 100:.1f} of {n} images."
        )
    lines.append(
        "The paper gives no spread over seeds, so that the margins cannot be compared with it."
    )
    return Section(title="Margins against noise", text=tuple(lines))


def _arithmetic(audit: PaperAudit) -> Section:
    return Section(
        title="Arithmetic of the text",
        head=("statement", "source", "printed", "by the tables", "agrees"),
        rows=tuple(
            (
                c.text + (f" ({c.remark})" if c.remark else ""),
                c.source,
                c.printed,
                f"{c.computed:.6g}" if c.low == c.high else f"{c.low:.2f} to {c.high:.2f}",
                "yes" if c.agrees else "NO",
            )
            for c in audit.arithmetic
        ),
    )


def _inconsistencies(audit: PaperAudit) -> Section:
    computed = sum(f.computed for f in audit.findings)
    return Section(
        title="Inconsistencies",
        text=(
            f"{computed} computed from the tables, {len(audit.findings) - computed} read in the"
            " text.",
        ),
        head=("finding", "source", "how"),
        rows=tuple(
            (f.text, f.source, "computed" if f.computed else "read") for f in audit.findings
        ),
    )


def _halves(audit: PaperAudit) -> Section:
    return Section(
        title="The two halves of eq. 3",
        text=(
            "Before anything is learnt: the first term is 1 if eq. 1 is the mean square of"
            " normalised pixels (released code), the root of 768 per patch if it is the norm that"
            " is printed. The second is λ ln K; it can fall to 0, but not below its floor where the"
            " softmax is applied twice (released code).",
        ),
        head=(
            "data set",
            "K",
            "second half",
            "floor, softmax twice",
            "share (mean square)",
            "share (norm)",
        ),
        rows=tuple(
            (
                h.dataset,
                str(h.classes),
                f"{h.start:.3f}",
                f"{h.floor_twice:.3f}",
                f"{100 * h.share_mean_square:.1f} %",
                f"{100 * h.share_norm:.1f} %",
            )
            for h in audit.halves
        ),
    )


def _flops(audit: PaperAudit) -> Section:
    return Section(
        title="FLOPs of ViT-B by two conventions",
        text=("The paper's numbers are multiply-accumulates without the products of attention.",),
        head=("tokens", "convention", "G", "printed", "equal"),
        rows=tuple(
            (
                str(f.tokens),
                f"{f.convention}: {f.text}",
                f"{f.giga:.3f}",
                f.printed,
                "yes" if f.equal else "no",
            )
            for f in audit.flops
        ),
    )


def _numbers(audit: PaperAudit) -> Section:
    return Section(
        title="Every published number",
        head=("table", "row", "column", "printed", "check", "finding"),
        rows=tuple(
            (
                e.number.source,
                e.number.label,
                e.number.metric if e.grim is None else e.number.dataset,
                e.number.printed.text,
                e.check,
                e.finding,
            )
            for e in audit.entries
        ),
    )

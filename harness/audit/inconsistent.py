"""Where the paper's tables and text contradict themselves.

What follows from the tables is computed from their files. What only a reader can see stands in
``READ``, each with its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from harness.audit.published import Number, find
from harness.plan import catalog
from harness.spec.printed import Printed
from harness.verdict.grim import grim


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One inconsistency.

    Attributes:
        text: what contradicts what, with the numbers.
        source: the places that do.
        computed: whether it was computed from the tables' files; else it was read.
    """

    text: str
    source: str
    computed: bool = True


MOST_NAMED = 3
"""Pairs of one column that are named one by one; of more the closest is."""

DEFAULTS = {"messidor2": "63.41", "btmd": "98.39"}
"""Accuracies of the setting that Table 8 presents as the default."""

README_MESSIDOR = Printed("68.41")
"""Accuracy on Messidor-2 in the abstract of the released code's README."""

READ: tuple[Finding, ...] = (
    Finding(
        text="The saving of FLOPs and time is that of the masked forward in fine-tuning, but the"
        " abstract calls it inference; in testing all tokens are used, so nothing is saved.",
        source="Abstract, section 1 and Table 3; section 3.3",
        computed=False,
    ),
    Finding(
        text="Fine-tuning classifies [CLS] in eq. 8, and the mean of the patch tokens without"
        " [CLS] in Algorithm 1 and Table 8 (f).",
        source="Section 3.3; Appendix D; Table 8 (f)",
        computed=False,
    ),
    Finding(
        text='"Warm-up epochs" (40) is the warm-up of the learning rate in Table 4 and the start'
        " of SAM in section 4.1.",
        source="Table 4; section 4.1",
        computed=False,
    ),
    Finding(
        text="BTMD was divided at random, by the text; 5712 and 1311 are the sizes of the official"
        " archive's own folders, whose class counts differ from a random draw's.",
        source="Appendix A",
        computed=False,
    ),
    Finding(
        text="HAM10000 is cited as the ISIC 2018 challenge, and its benign nevi (NV) are counted"
        " among seven types of skin cancer.",
        source="Appendix A",
        computed=False,
    ),
    Finding(
        text="Eq. 1 is a Euclidean norm without a square, while the rest is said to be MAE's, whose"
        " loss is a mean square; eq. 4 divides by the root of the embedding dimension, where"
        " attention divides by that of a head's; the normalisation of eq. 5 cites BatchNorm.",
        source="Section 3.1 and 3.2",
        computed=False,
    ),
    Finding(
        text='The augmentation is "random center cropping" with a scale of (0.2, 1), which is the'
        " scale of random resized crops.",
        source="Tables 4 and 5; Appendix B",
        computed=False,
    ),
    Finding(
        text="The results are said to show MSMAE's potential where labelled data are scarce, but"
        " its pre-training uses every training label, which its self-supervised rivals' does not.",
        source="Section 4.2; eq. 2",
        computed=False,
    ),
    Finding(
        text="That SAM pinpoints lesions rests on pictures of a separate routine of the released"
        " code; the weights that its training uses are all one.",
        source="Figures 1, 2, 5 and 11 to 15; released code, update of the masks",
        computed=False,
    ),
    Finding(
        text="+0.47 and +1.34 points are called significant improvements, without a test; the text"
        " gives one run each.",
        source="Section 4.5",
        computed=False,
    ),
    Finding(
        text="ChestXRay2017 has an accuracy of 99.60 % in the released README, whose own ROC curve"
        " (AUC 0.98, about 95 % at 7 % false positives) does not allow it.",
        source="README of the released code, table and figure",
        computed=False,
    ),
)
"""What was read in the text and in the released README."""


def findings(numbers: Sequence[Number]) -> tuple[Finding, ...]:
    """Return all inconsistencies: the computed ones, then those that were read."""
    return (
        *_better_than_default(numbers),
        *_below_one_image(numbers),
        *_orders(numbers),
        *_overlaps(numbers),
        *_sam_in_finetuning(numbers),
        *_tokens(),
        _readme(numbers),
        *READ,
    )


def _better_than_default(numbers: Sequence[Number]) -> Iterator[Finding]:
    """Yield the settings of Table 8 that beat the default on a data set."""
    for dataset, text in DEFAULTS.items():
        default = Printed(text).exact
        better = [
            n
            for n in numbers
            if n.table == "table8" and n.dataset == dataset and n.printed.exact > default
        ]
        for number in better:
            yield Finding(
                text=f"{number.label} gives {number.printed.text} on {dataset}, above the default's"
                f" {text}, which is presented as the best setting.",
                source="Table 8; section 4.1",
            )


def _below_one_image(numbers: Sequence[Number]) -> Iterator[Finding]:
    """Yield different accuracies of a column of which one at most is a count of images.

    Counts differ by one image or more, and printing both in one way moves their difference by one
    unit of the last decimal at most, so that two counts are printed alike or at least 100 / n less
    that unit apart.
    """
    columns: dict[tuple[str, str], dict[str, Number]] = {}
    for number in numbers:
        if number.is_share and number.n is not None:
            columns.setdefault((number.source, number.dataset), {})[number.printed.text] = number
    for (source, dataset), distinct in columns.items():
        pairs = [pair for pair in combinations(distinct.values(), 2) if too_close(*pair)]
        if not pairs:
            continue
        if len(pairs) <= MOST_NAMED:
            yield from (
                Finding(
                    text=f"On {dataset} {_apart(*pair)}: of one run each, printed in one way, one"
                    f" at most is a count of images{_both_ways(*pair)}.",
                    source=source,
                )
                for pair in pairs
            )
        else:
            closest = min(pairs, key=lambda pair: abs(_images(*pair)))
            yield Finding(
                text=f"Of {len(distinct)} different numbers on {dataset}, {len(pairs)} pairs are"
                " closer than two counts of images can be printed in one way (one image less a"
                f" unit of the last decimal), so that one at most of each is a count;"
                f" {_apart(*closest)}{_both_ways(*closest)}.",
                source=source,
            )


def too_close(a: Number, b: Number) -> bool:
    """Whether two different numbers cannot both be counts that are printed in one way."""
    if a.n is None or a.n != b.n or a.printed.digits != b.printed.digits:
        return False  # one count, printed with other decimals, is another number
    unit = Fraction(1, 10**a.printed.digits)
    return 0 < abs(a.printed.exact - b.printed.exact) < Fraction(100, a.n) - unit


def _both_ways(a: Number, b: Number) -> str:
    """Return the count that gives both numbers, one rounded and one truncated; "" if none."""
    counts = [set(grim(number.printed, number.n or 1).counts) for number in (a, b)]
    common = sorted(counts[0] & counts[1])
    return f" ({common[0]} gives both, one rounded, one truncated)" if common else ""


def _images(a: Number, b: Number) -> Fraction:
    return (a.printed.exact - b.printed.exact) * (a.n or 0) / 100


def _apart(a: Number, b: Number) -> str:
    images = abs(float(_images(a, b)))
    return (
        f"{a.label} {a.printed.text} and {b.label} {b.printed.text} differ by {images:.2f} of one"
        f" image (n = {a.n})"
    )


def _orders(numbers: Sequence[Number]) -> Iterator[Finding]:
    """Yield AMT's places that contradict each other."""

    def value(table: str, row: str, dataset: str, metric: str = "accuracy") -> Printed:
        return find(numbers, table, row, dataset, metric).printed

    mri = value("table1", "amt", "btmd"), value("table1", "mae", "btmd")
    breast = value("table7", "amt", "busi"), value("table7", "mae", "busi")
    if mri[0].exact > mri[1].exact and breast[0].exact < breast[1].exact:
        above, below = mri[0].exact - mri[1].exact, breast[1].exact - breast[0].exact
        yield Finding(
            text=f"AMT is {float(above):.2f} points above MAE on BTMD ({mri[0].text},"
            f" {mri[1].text}) and {float(below):.2f} below it on BUSI ({breast[0].text},"
            f" {breast[1].text}); the text does not say why.",
            source="Tables 1 and 7",
        )
    rows = ("baseline", "mae", "amt", "vit", "msmae")
    for a, b in combinations(rows, 2):
        f1 = value("table2", a, "busi", "f1").exact - value("table2", b, "busi", "f1").exact
        iou = value("table2", a, "busi", "iou").exact - value("table2", b, "busi", "iou").exact
        if f1 * iou < 0:
            yield Finding(
                text=f"Rows {a} and {b} of Table 2 are in one order by F1 ({float(f1):+.2f}) and in"
                f" the other by IoU ({float(iou):+.2f}).",
                source="Table 2",
            )


def _overlaps(numbers: Sequence[Number]) -> Iterator[Finding]:
    """Yield what the pairs of F1 and IoU of Table 2 cannot be, see ``overlap_range``."""
    pooled: list[str] = []
    others: list[str] = []
    for number in numbers:
        if (number.table, number.metric) != ("table2", "f1"):
            continue
        low, high = overlap_range(number, numbers)
        f1 = number.printed.exact
        if not low <= f1 <= high:
            yield Finding(
                text=f"{number.label}: F1 {number.printed.text} is outside {float(low):.2f} to"
                f" {float(high):.2f}, which its IoU allows.",
                source="Table 2",
            )
        found = pooled if abs(f1 - high) <= Fraction(3, 100) else others
        found.append(f"{number.printed.text} where that is {float(high):.2f}")
    if others:
        yield Finding(
            text=f"{len(others)} of {len(others) + len(pooled)} values of F1 are not"
            " 2 IoU / (1 + IoU), as they would be of one count over all pixels"
            f" ({', '.join(others)}): they are means over something smaller, which the text does"
            " not name.",
            source="Table 2",
        )


def overlap_range(number: Number, numbers: Sequence[Number]) -> tuple[Fraction, Fraction]:
    """Return the F1 (%) that a row's IoU allows, with the rounding of both numbers.

    Of one count over pixels F1 = 2 IoU / (1 + IoU) = f(IoU). As f is concave and f(x) >= x, means
    over images or batches obey IoU <= F1 <= f(IoU).
    """
    iou = find(numbers, number.table, number.row, number.dataset, "iou").printed.exact
    half = Fraction(1, 200)
    most = 200 * (iou + half) / (100 + iou + half)
    return iou - 2 * half, most + half


def _sam_in_finetuning(numbers: Sequence[Number]) -> Iterator[Finding]:
    """Yield the gains of SAM in fine-tuning, in images."""
    pairs = {"random": "I to IV", "amt": "II to V", "sam": "III to VI"}
    for masks, settings in pairs.items():
        plain, sam = (
            find(numbers, "table3", f"{masks}-{kind}", "messidor2", "accuracy")
            for kind in ("plain", "sam")
        )
        gain = sam.printed.exact - plain.printed.exact
        images = gain * (sam.n or 0) / 100
        yield Finding(
            text=f"SAM in fine-tuning adds {float(gain):.2f} points ({settings}), which are"
            f" {float(images):.1f} of {sam.n} images.",
            source="Table 3; section 4.5",
        )


def _tokens() -> Iterator[Finding]:
    """Yield the shares of patches that Table 8's ratios leave visible."""
    rows = [row for row in catalog.load("table8")[1].rows if row.name.startswith("ratios-")]
    shares = {
        row.label: 1 - row.chain()[0].method.mask_ratio - row.chain()[0].method.throw_ratio  # type: ignore[attr-defined]
        for row in rows
    }
    if len({round(share, 6) for share in shares.values()}) > 1:
        said = ", ".join(f"{label}: {100 * share:.0f} %" for label, share in shares.items())
        yield Finding(
            text=f"The ratios that are compared leave different shares of patches visible ({said}),"
            " so that they differ in computation, not in the ratio alone.",
            source="Table 8 (c)",
        )


def _readme(numbers: Sequence[Number]) -> Finding:
    printed = find(numbers, "table1", "msmae", "messidor2", "accuracy")
    counts = grim(README_MESSIDOR, printed.n or 0).counts
    what = "no count of" if not counts else f"{counts[0]} of"
    return Finding(
        text=f"The released README's abstract gives {README_MESSIDOR.text} on Messidor-2, its table"
        f" and the paper {printed.printed.text}; {README_MESSIDOR.text} is {what} {printed.n}"
        " images.",
        source="README of the released code; Table 1",
    )

"""What can be said of each published number by itself: one entry per number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.audit import inconsistent
from harness.audit.equation import Flops
from harness.audit.published import Number
from harness.verdict.constant import Constant
from harness.verdict.grim import Grim, grim

MOST_RUNS = 5
"""Runs whose mean an unattainable number is tried as; the mean of 20 fits any two decimals."""

Constancy = Literal["equal", "possible", "no", "not known"]
"""Whether a number equals the constant answer; "possible": in a random split it could."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published number with what was checked.

    Attributes:
        number: the number.
        check: what was checked: "GRIM", "F1 against IoU", "count of operations" or "none".
        ok: whether it passed; None where nothing can be checked.
        finding: the result in words.
        grim: counts of images that it can stand for; None for other than accuracies.
        mean_of: the least number of runs, from 2 on, whose mean could be printed so, for a number
            that no single run gives; None if at most ``MOST_RUNS`` cannot.
        constant: whether it equals the constant answer.
    """

    number: Number
    check: str
    ok: bool | None
    finding: str
    grim: Grim | None = None
    mean_of: int | None = None
    constant: Constancy = "not known"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        number, found = self.number, self.grim
        shares = (
            {
                "counts": {name: list(counts) for name, counts in found.fits.items()},
                "attainable": found.attainable,
                "attainable_by_rounding": bool(found.rounded),
                "mean_of_runs": self.mean_of,
                "constant_answer": self.constant,
            }
            if found is not None
            else {}
        )
        return {
            "table": number.table,
            "source": number.source,
            "row": number.row,
            "label": number.label,
            "dataset": number.dataset or None,
            "metric": number.metric,
            "printed": number.printed.text,
            "value": number.printed.value,
            "digits": number.printed.digits,
            "n": number.n,
            "check": self.check,
            "ok": self.ok,
            "finding": self.finding,
            **shares,
        }


def entries(
    numbers: Sequence[Number], constants: Mapping[str, Constant], counted: Sequence[Flops]
) -> tuple[Entry, ...]:
    """Return one entry per number."""
    made = []
    for number in numbers:
        if number.is_share and number.n is not None:
            made.append(_share(number, number.n, constants.get(number.dataset)))
        elif number.metric in ("f1", "iou"):
            made.append(_overlap(number, numbers))
        elif number.metric.endswith("_macs"):
            made.append(_operations(number, counted))
        else:
            finding = "a time on another machine: nothing to check it against"
            made.append(Entry(number=number, check="none", ok=None, finding=finding))
    return tuple(made)


def _share(number: Number, n: int, constant: Constant | None) -> Entry:
    found = grim(number.printed, n)
    runs = None
    if not found.attainable:
        runs = next(
            (r for r in range(2, MOST_RUNS + 1) if grim(number.printed, n * r).rounded), None
        )
    constancy = _constancy(found.counts, constant)
    return Entry(
        number=number,
        check="GRIM",
        ok=found.attainable,
        finding=_words(found, runs, constancy, constant),
        grim=found,
        mean_of=runs,
        constant=constancy,
    )


def _constancy(counts: tuple[int, ...], constant: Constant | None) -> Constancy:
    if constant is None:
        return "not known"
    if constant.equals(counts):
        return "equal"
    return "possible" if constant.may_equal(counts) else "no"


def _words(found: Grim, runs: int | None, constancy: str, constant: Constant | None) -> str:
    if found.rounded:
        text = f"{_joined(found.rounded)} of {found.n}"
    elif found.attainable:
        text = f"{_joined(found.counts)} of {found.n}, truncated; no count by rounding"
    else:
        mean = "" if runs is None else f"; a mean of {runs} runs could be"
        text = f"no count of {found.n} images{mean}"
    if constancy == "equal" and constant is not None:
        text += f"; the constant answer {constant.answer!r}"
    return text


def _joined(counts: tuple[int, ...]) -> str:
    return " or ".join(map(str, counts))


def _overlap(number: Number, numbers: Sequence[Number]) -> Entry:
    """Return the entry of an F1 or IoU: both stand or fall together."""
    f1 = next(n for n in numbers if (n.table, n.row, n.metric) == (number.table, number.row, "f1"))
    low, high = inconsistent.overlap_range(f1, numbers)
    ok = low <= f1.printed.exact <= high
    return Entry(
        number=number,
        check="F1 against IoU",
        ok=ok,
        finding=f"F1 {f1.printed.text} is {'within' if ok else 'outside'} the"
        f" {float(low):.2f} to {float(high):.2f} that a mean with this IoU can have",
    )


def _operations(number: Number, counted: Sequence[Flops]) -> Entry:
    # A row prints the count of all tokens or of a quarter of them; the other one does not fit.
    mine = [flops for flops in counted if flops.printed == number.printed.text]
    equal = [flops for flops in mine if flops.equal]
    others = ", ".join(f"{f.giga:.2f} G by {f.convention}" for f in mine if not f.equal)
    finding = (
        f"{equal[0].giga:.4f} G multiply-accumulates by {equal[0].convention} at"
        f" {equal[0].tokens} tokens ({others})"
        if equal
        else f"no convention gives it ({others or 'no such pass'})"
    )
    return Entry(number=number, check="count of operations", ok=bool(equal), finding=finding)

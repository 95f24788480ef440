"""Named conventions that turn the counted operators of a pass into one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.cost.count import Norm, Tally
from harness.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Convention:
    """A rule that turns the count of a pass into one number.

    Attributes:
        name: as given on the command line.
        unit: "MAC" (a multiplication with its addition is one) or "FLOP" (two).
        text: description of what it counts.
        backward: whether it also covers forward and backward together.
        of: function from a count to the number.
    """

    name: str
    unit: Literal["MAC", "FLOP"]
    text: str
    of: Callable[[Tally], int]
    backward: bool = False


def _thop(tally: Tally) -> int:
    """Follow thop 0.1.1: layers with weights and normalisation; attention products are omitted."""
    weighted = tally.macs["linear"] + tally.macs["convolution"]
    return weighted + _norms(tally, _thop_rate)


def _thop_rate(norm: Norm) -> int:
    """Return operations per element: subtract, divide, scale, shift (thop, count_normalization)."""
    return 4 if norm.affine else 2


def _fvcore(tally: Tally) -> int:
    """Follow fvcore 0.1.5, with attention products included."""
    return tally.total + _norms(tally, _fvcore_rate)


def _fvcore_rate(norm: Norm) -> int:
    """Return operations per element (fvcore 0.1.5, norm_flop_counter and batchnorm_flop_jit)."""
    if norm.running:
        return 2 if norm.affine else 1
    return 5 if norm.affine else 4


def _norms(tally: Tally, rate: Callable[[Norm], int]) -> int:
    """Return the operations of all normalisation layers at a rate per element."""
    return sum(rate(norm) * elements for norm, elements in tally.norms.items())


CONVENTIONS = {
    c.name: c
    for c in (
        Convention(
            name="thop-macs",
            unit="MAC",
            text="linear, convolution and normalisation layers, no attention products (the paper)",
            of=_thop,
        ),
        Convention(
            name="fvcore-macs",
            unit="MAC",
            text="linear, convolution and normalisation layers (fvcore's rates), attention",
            of=_fvcore,
        ),
        Convention(
            name="torch-flops",
            unit="FLOP",
            text="two per multiply-accumulate of linear, convolution and attention products",
            of=lambda tally: 2 * tally.total,
            backward=True,
        ),
    )
}


def find(name: str) -> Convention:
    """Return a convention by name.

    Raises:
        UserError: no convention has that name.
    """
    if name not in CONVENTIONS:
        raise unknown("convention", name, CONVENTIONS)
    return CONVENTIONS[name]

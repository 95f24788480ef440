"""Quantities that a table's column shows: metrics of predictions and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from harness import ranges
from harness.ranges import AnyCount

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A reportable quantity: title, direction and number format.

    Attributes:
        name: stable name, by which columns refer to it.
        title: column heading, with the unit.
        better: whether higher or lower values are better.
        digits: decimals in tables, after multiplication by ``factor``.
        factor: factor from the natural unit to that of the table: 100 for percentages, 1e-9 for
            costs in G.
        comparable: whether differences to the paper's numbers are meaningful, which those of times
            on two machines are not.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    digits: Annotated[int, Meta(ge=0, le=15)]
    factor: Annotated[float, Meta(gt=0, le=1e15)]
    comparable: bool = True

    def __post_init__(self) -> None:
        ranges.check(self)


@dataclass(frozen=True, kw_only=True)
class Metric(Quantity):
    """A metric of the predictions of one evaluation.

    Attributes:
        compute: function of probabilities (n, K) and labels (n,) that returns the metric in its
            natural unit.
    """

    compute: Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, kw_only=True)
class CostQuantity(Quantity):
    """Cost of a forward pass of a row's last stage.

    Attributes:
        kind: "training" is the forward pass in training, with masks if the method has them;
            "deployed" is the forward pass in testing, over all patches.
        what: "macs", multiply-accumulates of one image as the paper counts them, or "seconds" of
            a batch.
        size: size of the encoder: the profile's or the paper's.
        batch: images per timed batch.
    """

    kind: Literal["training", "deployed"]
    what: Literal["macs", "seconds"]
    size: Literal["profile", "paper"] = "profile"
    batch: AnyCount = 1

"""What a column of a table shows: a metric of predictions, or a cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something with a direction that a table shows.

    Attributes:
        title: with the unit, as in the head of a column.
        better: the direction, never guessed from the name.
        digits: decimals in tables, after multiplication by ``factor``.
        factor: 100 for percentages; a cost in G has 1e-9.
        comparable: whether the difference to a printed number says something: times of two
            machines have none.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    digits: int
    factor: float
    comparable: bool = True


@dataclass(frozen=True, kw_only=True)
class Metric(Quantity):
    """A figure of merit of one evaluation.

    Attributes:
        compute: from probabilities (n, K) and labels (n,) to a number in natural units.
    """

    compute: Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True, kw_only=True)
class CostQuantity(Quantity):
    """What a pass of a row's last stage costs.

    Attributes:
        kind: "training" is the forward of training, masked where the method masks; "deployed"
            the forward of testing, over all patches.
        what: "macs" of one image in the paper's convention, or "seconds" of a batch.
        size: of the encoders: the profile's or the paper's.
        batch: images that are timed together.
    """

    kind: Literal["training", "deployed"]
    what: Literal["macs", "seconds"]
    size: Literal["profile", "paper"] = "profile"
    batch: int = 1

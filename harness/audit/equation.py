"""The two halves of eq. 3, and the counting conventions behind the FLOPs of Table 3.

Eq. 3 adds a reconstruction loss and 0.1 times a classification loss. How much either weighs
depends on how eq. 1 is read, and on whether the softmax of eq. 2 is applied once or twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.audit.published import Number, find
from harness.cost import conventions, models
from harness.cost.stage import measure
from harness.data import registry
from harness.spec import profiles
from harness.spec.printed import Printed

VALUES = 16 * 16 * 3
"""Pixel values of a patch."""


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Both terms of eq. 3 for a data set, before anything is learnt and at their floor.

    The targets are normalised pixels, of mean 0 and variance 1 over the data set. An untrained
    model that predicts 0 for each has a mean square error of 1, and a Euclidean norm of the root of
    768 per patch. Uniform class probabilities have a cross-entropy of ln K.

    Attributes:
        dataset: name of the data set.
        classes: K.
        weight: λ.
        mean_square: first term, as the released code reads eq. 1.
        norm: first term, as eq. 1 is printed, per patch.
        start: second term at uniform probabilities: λ ln K, whether the softmax is applied once
            or twice (then ln K too, as equal logits stay equal).
        floor_twice: the least second term where the softmax is applied twice: λ ln(1 + (K - 1)/e);
            once, it is 0.
        share_mean_square: share of the second term in the sum at the start, by the mean square.
        share_norm: likewise, by the norm.
    """

    dataset: str
    classes: int
    weight: float
    mean_square: float
    norm: float
    start: float
    floor_twice: float
    share_mean_square: float
    share_norm: float


def halves(names: Sequence[str], weight: float) -> tuple[Halves, ...]:
    """Return both terms of eq. 3 for data sets, with the weight λ."""
    return tuple(_halves(name, weight) for name in names)


def _halves(name: str, weight: float) -> Halves:
    classes = len(registry.find(name).classes)
    mean_square, norm = 1.0, math.sqrt(VALUES)
    start = weight * math.log(classes)
    return Halves(
        dataset=name,
        classes=classes,
        weight=weight,
        mean_square=mean_square,
        norm=norm,
        start=start,
        floor_twice=weight * math.log(1 + (classes - 1) / math.e),
        share_mean_square=start / (mean_square + start),
        share_norm=start / (norm + start),
    )


@dataclass(frozen=True, kw_only=True)
class Flops:
    """The forward pass of ViT-B by a counting convention, beside what Table 3 prints.

    Attributes:
        tokens: tokens with [CLS].
        convention: its name.
        text: what it counts.
        giga: the count in G, of multiply-accumulates.
        printed: what the paper prints.
        equal: whether the count is the printed number, rounded as printed.
    """

    tokens: int
    convention: str
    text: str
    giga: float
    printed: str
    equal: bool


def flops(numbers: Sequence[Number]) -> tuple[Flops, ...]:
    """Count ViT-B with all and with a quarter of the patches by the conventions for MACs."""
    profile = profiles.PAPER
    whole = profile.backbones.grid**2
    masked = find(numbers, "table3", "sam-sam", "", "paper_training_macs").printed
    plain = find(numbers, "table3", "sam-plain", "", "paper_training_macs").printed
    by_tokens = {1 + whole: plain, 1 + whole // 4: masked}
    chosen = [c for c in conventions.CONVENTIONS.values() if c.unit == "MAC"]
    cost = measure(
        models.find("vit_base_patch16"),
        registry.find("messidor2"),
        profile.backbones,
        tokens=tuple(by_tokens),
        conventions=chosen,
        memory=False,
    )
    return tuple(
        Flops(
            tokens=tokens,
            convention=convention.name,
            text=convention.text,
            giga=counted.forward[convention.name] / 1e9,
            printed=printed.text,
            equal=_rounds_to(counted.forward[convention.name] / 1e9, printed),
        )
        for (tokens, printed), counted in zip(by_tokens.items(), cost.passes, strict=True)
        for convention in chosen
    )


def _rounds_to(value: float, printed: Printed) -> bool:
    return format(value, f".{printed.digits}f") == printed.text

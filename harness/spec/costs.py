"""Costs (multiply-accumulates and times) that tables can show as columns."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.spec.quantity import CostQuantity

CONVENTION = "thop-macs"
"""How the paper counts: 16.86 G and 4.37 G are multiply-accumulates without attention products."""

COSTS: Mapping[str, CostQuantity] = MappingProxyType(
    {
        cost.name: cost
        for cost in (
            CostQuantity(
                name="paper_training_macs",
                title="FLOPs (G) at the paper's size, training forward",
                better="lower",
                digits=2,
                factor=1e-9,
                kind="training",
                what="macs",
                size="paper",
            ),
            CostQuantity(
                name="paper_deployed_macs",
                title="FLOPs (G) at the paper's size, deployed forward",
                better="lower",
                digits=2,
                factor=1e-9,
                kind="deployed",
                what="macs",
                size="paper",
            ),
            CostQuantity(
                name="training_macs",
                title="FLOPs (G), training forward",
                better="lower",
                digits=3,
                factor=1e-9,
                kind="training",
                what="macs",
            ),
            CostQuantity(
                name="deployed_macs",
                title="FLOPs (G), deployed forward",
                better="lower",
                digits=3,
                factor=1e-9,
                kind="deployed",
                what="macs",
            ),
            CostQuantity(
                name="training_seconds",
                title="time (ms), training forward",
                better="lower",
                digits=3,
                factor=1e3,
                kind="training",
                what="seconds",
                comparable=False,
            ),
            CostQuantity(
                name="deployed_seconds",
                title="time (ms), deployed forward",
                better="lower",
                digits=3,
                factor=1e3,
                kind="deployed",
                what="seconds",
                comparable=False,
            ),
            CostQuantity(
                name="training_seconds_64",
                title="time (ms) of a batch of 64, training forward",
                better="lower",
                digits=2,
                factor=1e3,
                kind="training",
                what="seconds",
                batch=64,
                comparable=False,
            ),
        )
    }
)
"""The costs by name; a column shows one by naming it as its metric."""

NOTES: Mapping[str, str] = MappingProxyType(
    {
        "macs": "FLOPs: multiply-accumulates of one image (thop-macs: linear, convolution and"
        " normalisation layers, no attention products: the paper's convention), counted on shapes;"
        " in brackets the change against the first row",
        "seconds": "time: median of a batch (of one, unless another is named) on this machine,"
        " at this profile's size, fp32, passes of all rows in turn, three processes; in brackets"
        " the median of the ratios to the first row, pair by pair; the JSON file holds intervals"
        " and quantiles",
        "both": "training forward: as in fine-tuning, with the drawing of masks, the patches that"
        " they leave and the loss; deployed forward: over all patches, as the paper tests: masks"
        " save nothing there",
    }
)
"""Notes below a table with such columns, by the kind of cost."""

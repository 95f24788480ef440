"""Families of timm's networks that methods may be put on."""

from __future__ import annotations

from harness.errors import UserError
from harness.spec.weights import TIMM

FAMILIES = {
    "ViT": ("vision_transformer", "deit"),
    "Swin": ("swin_transformer", "swin_transformer_v2"),
    "ResNet": ("resnet",),
    "ConvNeXt": ("convnext",),
}
"""The modules of timm that define the networks of each family, see docs/backbones.md."""


def check(backbone: str) -> None:
    """Check that a backbone, if it is one of timm's networks ("timm:NAME"), is of these families.

    Raises:
        UserError: it is of another; names that timm does not know are left to the method's check.
    """
    if not backbone.startswith(TIMM):
        return
    from timm.models import is_model, is_model_in_modules

    net = backbone.removeprefix(TIMM)
    modules = {module for family in FAMILIES.values() for module in family}
    if is_model(net) and not is_model_in_modules(net, modules):
        raise UserError(
            f"{net} is of none of the families of timm that methods are put on; allowed:"
            f" {', '.join(FAMILIES)} (timm's modules {', '.join(sorted(modules))}), such as"
            " timm:convnext_tiny."
        )

"""Networks of timm by name: backbones with a key, built at an image size, with layer numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from harness.errors import UserError, unknown
from harness.spec.backbones import Backbone
from harness.train.task import Layers

SCALES = ("smoke", "laptop", "paper")


@dataclass(frozen=True, kw_only=True)
class TimmSize:
    """The size of a network of timm, which its name says.

    Attributes:
        name: as ``timm.create_model`` takes it, without weights' tag.
    """

    key_name: ClassVar[str] = "timm"

    name: str


@dataclass(frozen=True)
class _EveryScale(Mapping[str, TimmSize]):
    """One size for every scale: a profile changes the image size alone."""

    size: TimmSize

    def __getitem__(self, scale: str) -> TimmSize:
        return self.size

    def __iter__(self) -> Iterator[str]:
        return iter(SCALES)

    def __len__(self) -> int:
        return len(SCALES)


def timm_backbone(net: str) -> Backbone[TimmSize]:
    """Return a network of timm as a backbone."""
    return Backbone(name=f"timm:{net}", sizes=_EveryScale(TimmSize(name=net)))


def build_net(net: str, image_size: int, *, classes: int = 0, drop_path: float = 0.0) -> Any:
    """Build a network of timm without pretrained weights; ``classes=0`` returns pooled features.

    Raises:
        UserError: timm has no such network, or it cannot be built at this size.
    """
    import timm
    from timm.models import get_pretrained_cfg

    if "." in net:
        raise UserError(
            f"{net} names weights, of which a backbone has none; write timm:{net.partition('.')[0]}"
            f" and start it with --init timm:{net}."
        )
    if not timm.is_model(net):
        raise unknown("network of timm", net, timm.list_models())
    config = get_pretrained_cfg(net)
    arguments: dict[str, Any] = {"num_classes": classes}
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = image_size
    if drop_path:
        arguments["drop_path_rate"] = drop_path
    try:
        network = timm.create_model(net, pretrained=False, **arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        first = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"timm cannot build {net} at {image_size} px with {_said(arguments)} ({first}); choose"
            " another network or profile."
        ) from error
    # Convolutions are faster with the channels last; in a transformer they are one layer.
    is_convolutional = not hasattr(network, "patch_embed")
    if is_convolutional:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _said(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


@functools.lru_cache(maxsize=32)
def check_net(net: str, image_size: int, drop_path: float = 0.0) -> None:
    """Build a network on shapes and pass one image through it, before anything is trained.

    Raises:
        UserError: it cannot be built at this size, or takes no image of it.
    """
    with torch.device("meta"):
        model = build_net(net, image_size, drop_path=drop_path).eval()
        try:
            shape = model(torch.zeros(2, 3, image_size, image_size)).shape
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            first = " ".join(str(error).split())[:200]
            raise UserError(
                f"{net} takes no images of {image_size} px ({first}); choose another network or"
                " profile."
            ) from error
    sides: Any = getattr(getattr(model, "patch_embed", None), "patch_size", ())
    if any(image_size % side for side in sides):
        raise UserError(
            f"{net} cuts images of {image_size} px into patches of {sides[0]} px and would leave"
            " out their rest; choose another network or profile."
        )
    if len(shape) != 2 or not hasattr(model, "group_matcher"):
        raise UserError(
            f"{net} returns no pooled features (B, D) or does not name its layers; choose a ViT,"
            " Swin, ResNet or ConvNeXt of timm."
        )


def depths_of(encoder: Any) -> Layers:
    """Return the layer numbers that timm gives a network's parameters for layer decay."""
    from timm.models._manipulate import group_parameters

    groups: Mapping[str, int] = group_parameters(
        encoder, encoder.group_matcher(coarse=False), reverse=True
    )
    count = max(groups.values()) + 1
    return Layers(count, lambda name: groups.get(name.removeprefix("encoder."), count - 1))


def exempt_of(encoder: Any) -> frozenset[str]:
    """Return the names of parameters that timm exempts from weight decay."""
    return frozenset(encoder.no_weight_decay() if hasattr(encoder, "no_weight_decay") else ())

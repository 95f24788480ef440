"""How an exported encoder is loaded and given images: Python that runs in the card's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor


class Encoder(Protocol):
    """An encoder under timm's names, see ``harness.api.TimmEncoder``."""

    @property
    def architecture(self) -> str:
        """Name for ``timm.create_model``."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Its keyword arguments."""
        ...

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """By timm's names."""
        ...

    @property
    def features(self) -> str:
        """What the model returns, in words."""
        ...

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean with which images in 0..1 are normalised."""
        ...

    @property
    def std(self) -> tuple[float, float, float]:
        """Standard deviation likewise."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Content of config.json."""
        ...

    def model(self) -> Any:
        """Build timm's network with the tensors."""
        ...


FILES = {
    "torch": (
        "import torch",
        'tensors = torch.load("model.pth", map_location="cpu", weights_only=True)',
    ),
    "safetensors": (
        "from safetensors.torch import load_file",
        'tensors = load_file("model.safetensors")',
    ),
}
"""The import and the line that read the tensors of a format."""

TRANSFORMED = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
"""Fields of timm's data config that say how an image is prepared."""


def lines(format_: str, encoder: Encoder | None, side: int) -> list[str]:
    """Return the part of a card on its use.

    Args:
        format_: of the files beside the card.
        encoder: as timm's; None where timm has no such network.
        side: of the images, in pixels.
    """
    if encoder is None:
        return [
            f"Images: {side} x {side} px. The names of the tensors are the encoder's own; a module"
            " that was built as in training takes them with `load_state_dict(tensors)`.",
            "",
            *_block([FILES[format_][0], "", FILES[format_][1]]),
        ]
    model = _by_name() if format_ in ("timm", "hf") else _by_tensors(format_, encoder)
    config = encoder.config["pretrained_cfg"]
    how = (
        f"the central {100 * config['crop_pct']:g} % of the shorter side"
        if config["crop_mode"] == "center"
        else "whole and stretched to the square"
    )
    elsewhere = " From elsewhere, write the folder's path in place of the dot."
    return [
        f"`model(images)` returns {encoder.features}, as `features` here, of an image beside this"
        f" card.{elsewhere if format_ in ('timm', 'hf') else ''}",
        "",
        *_block([*model, "", *_FEATURES]),
        "",
        f"* Images: {side} x {side} px, RGB in 0..1, {how} ({config['interpolation']})",
        f"* Normalisation: mean {list(encoder.mean)}, standard deviation {list(encoder.std)}",
    ]


_FEATURES = (
    'image = Image.open("image.png", formats=["PNG", "JPEG"]).convert("RGB")',
    "with torch.no_grad():",
    "    features = model(transform(image)[None])  # (1, D)",
)


def _by_name() -> list[str]:
    return [
        "import timm",
        "import torch",
        "from PIL import Image",
        "",
        'model = timm.create_model("local-dir:.", pretrained=True).eval()',
        "config = timm.data.resolve_model_data_config(model)  # size, mean, std, crop, ...",
        "transform = timm.data.create_transform(**config, is_training=False)",
    ]


def _by_tensors(format_: str, encoder: Encoder) -> list[str]:
    import_, load = FILES[format_]
    config = encoder.config["pretrained_cfg"]
    given = {name: config[name] for name in TRANSFORMED}
    given |= {name: tuple(given[name]) for name in ("input_size", "mean", "std")}
    return [
        "import timm",
        "import torch",
        "from PIL import Image",
        *([import_] if import_ != "import torch" else []),
        "",
        load,
        *_call("model = timm.create_model", repr(encoder.architecture), encoder.arguments),
        "model.load_state_dict(tensors)  # no key is missing, none is left over",
        "model.eval()",
        *_call("transform = timm.data.create_transform", "", {**given, "is_training": False}),
    ]


def _call(function: str, first: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return a call with an argument on each line."""
    named = (f"{name}={value!r}" for name, value in arguments.items())
    return [f"{function}(", *(f"    {each}," for each in (first, *named) if each), ")"]


def _block(code: list[str]) -> list[str]:
    return ["```python", *code, "```"]

"""The name from which a stage's random seeds are derived; it is independent of the form of keys.

A key identifies a stage. The form of keys may change between versions, and stores are then
migrated. A stage's random numbers must not change with it: a training that was interrupted before a
migration continues with the same draws, and published numbers can be reproduced. Therefore the name
of a stage's random stream is the SHA-256 of its definition in the form of version 0.1, if 0.1 could
express it, and otherwise of its definition in the first form that could express it.

Settings fields that were added after their type had been published (``as_before``) are in no
stream's name, whatever their value (``Run.stream``): such a field moves no draw of a stage that
could be expressed before it. Stages that differ in such fields alone therefore have the same draws,
as far as both make them, which makes them paired comparisons.

This module is complete: types and profiles added after 0.1 use their present names, and a migration
(``harness.migrations``) is undone before the definition is hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness import migrations

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "amt": "baselines.amt.AMT",
        "augmentation": "harness.augment.Augmentation",
        "contrastivecrop": "baselines.contrastivecrop.ContrastiveCrop",
        "erasing": "harness.erasing.Erasing",
        "finetune": "msmae.finetune.Finetune",
        "mae": "baselines.mae.MAE",
        "mocov3": "baselines.mocov3.MoCoV3",
        "msmae": "msmae.method.MSMAE",
        "randaugment": "harness.randaugment.RandAugment",
        "recipe": "harness.spec.Recipe",
        "resnet": "harness.encoders.ResNetSize",
        "resnet50": "baselines.supervised.ResNet50",
        "rotating-augmentation": "harness.augment.RotatingAugmentation",
        "segment": "msmae.segmentation.Segment",
        "simclr": "baselines.simclr.SimCLR",
        "simmim": "baselines.simmim.SimMIM",
        "swin": "harness.encoders.SwinSize",
        "swin-classifier": "baselines.supervised.Swin",
        "vit": "harness.encoders.VitSize",
    }
)
"""Names of types in version 0.1 (module and class) by their present stable names."""


def _vit(patch: int, width: int, depth: int, heads: int, decoder: tuple[int, int, int]) -> Any:
    names = ("decoder_width", "decoder_depth", "decoder_heads")
    sizes = {"patch": patch, "width": width, "depth": depth, "heads": heads}
    return {"type": "vit", **sizes, **dict(zip(names, decoder, strict=True))}


def _swin(patch: int, width: int, depths: list[int], heads: list[int], window: int) -> Any:
    return {
        "type": "swin",
        "patch": patch,
        "width": width,
        "depths": depths,
        "heads": heads,
        "window": window,
    }


def _resnet(layers: list[int], width: int) -> Any:
    return {"type": "resnet", "layers": layers, "width": width}


_PROFILES: tuple[dict[str, Any], ...] = (
    {
        "name": "smoke",
        "train_images": 256,
        "eval_images": 128,
        "encoders": {
            "image_size": 32,
            "vit": _vit(4, 48, 2, 3, (32, 1, 2)),
            "swin": _swin(2, 16, [1, 1, 1, 1], [1, 2, 4, 8], 2),
            "resnet": _resnet([1, 1, 1, 1], 8),
        },
    },
    {
        "name": "laptop",
        "train_images": 3000,
        "eval_images": 1000,
        "encoders": {
            "image_size": 64,
            "vit": _vit(8, 96, 4, 3, (64, 1, 4)),
            "swin": _swin(4, 32, [1, 1, 2, 1], [1, 2, 4, 8], 4),
            "resnet": _resnet([1, 1, 1, 1], 16),
        },
    },
    {
        "name": "paper",
        "train_images": None,
        "eval_images": None,
        "encoders": {
            "image_size": 224,
            "vit": _vit(16, 768, 12, 12, (512, 8, 16)),
            "swin": _swin(4, 96, [2, 2, 6, 2], [3, 6, 12, 24], 7),
            "resnet": _resnet([3, 4, 6, 3], 64),
        },
    },
)
"""Profiles of version 0.1, whose names and sizes of all backbones were part of its keys."""


def stream_name(definition: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) that names the random stream of a run's definition.

    Args:
        definition: as ``harness.spec.run.Run.definition`` returns it with ``published``.
    """
    for number, migration in reversed([*enumerate(migrations.MIGRATIONS, migrations.FIRST + 1)]):
        if not migration.can_undo(definition):
            # New in this form. Its number keeps it apart from what an old name once stood for.
            return _digest({"form": number, "definition": definition})
        definition = migration.undo(definition)
    profile = _first_profile(definition)
    # Without a profile in 0.1 the present definition is hashed as it is.
    form: Mapping[str, Any] = definition
    if profile is not None:
        stages = [
            {"type": "harness.spec.Stage", **{k: v for k, v in stage.items() if k != "backbone"}}
            for stage in definition["stages"]
        ]
        form = {
            **definition,
            "type": "harness.spec.Run",
            "profile": {"type": "harness.spec.Profile", **_with_type(profile)},
            "stages": stages,
        }
        form = _with_old_names(form)
    return _digest(form)


def _digest(form: Mapping[str, Any]) -> str:
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_type(profile: Mapping[str, Any]) -> dict[str, Any]:
    backbones = {"type": "harness.encoders.Encoders", **profile["encoders"]}
    return {**profile, "encoders": backbones}


def _first_profile(definition: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return version 0.1's profile of equal image size, subset and backbones; None without one."""
    requested = definition["profile"]
    sizes = [stage["backbone"] for stage in definition["stages"]]
    for profile in _PROFILES:
        backbones = profile["encoders"]
        is_same = requested == {
            "image_size": backbones["image_size"],
            "train_images": profile["train_images"],
            "eval_images": profile["eval_images"],
        }
        if is_same and all(
            size is not None and backbones.get(size["type"]) == size for size in sizes
        ):
            return profile
    return None


def _with_old_names(value: Any) -> Any:
    """Return a definition with the names that its types had in version 0.1."""
    if isinstance(value, Mapping):
        return {
            name: WORDS.get(inner, inner) if name == "type" else _with_old_names(inner)
            for name, inner in value.items()
        }
    return [_with_old_names(inner) for inner in value] if isinstance(value, list) else value

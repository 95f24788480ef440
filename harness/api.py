"""The stable public names for plug-ins, tables and notebooks.

A name is imported at its first use, so that importing this module, or the values of a table, does
not import torch. Names elsewhere in the package may change between versions;
``docs/extending.md`` shows how to use the names here.

Some names are modules. Those of methods have one method each: ``mae.stages()`` returns the stages
of MAE's row in Table 1, ``mae.own_finetune()`` its own published fine-tuning. ``paper`` has the
recipes and settings of MSMAE's paper, ``differences`` those in which its code differs from it,
``masking`` the functions that choose masked patches.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.sources.definitions import parse
from harness.sources.uses import Import

if TYPE_CHECKING:
    from harness.augment.colour import Colour
    from harness.augment.erasing import Erasing
    from harness.augment.mixup import Mixing
    from harness.augment.randaugment import RandAugment
    from harness.augment.random_crop import random_boxes
    from harness.augment.view import (
        Augmentation,
        Evaluation,
        RotatingAugmentation,
        cut,
        normalise,
    )
    from harness.canonical import as_before
    from harness.data.prepared import ImageStore, Store, open_store
    from harness.data.registry import datasets
    from harness.errors import UserError
    from harness.execute.execution import ExecutionOptions
    from harness.execute.executor import Executor, Outcome
    from harness.execute.launch import Launcher, Work, WorkerConfig, WorkerEnd
    from harness.methods.baselines import (
        amt,
        contrastivecrop,
        mae,
        mocov3,
        simclr,
        simmim,
        supervised,
        timm_nets,
    )
    from harness.methods.baselines._export import TimmEncoder, encoder_weights, to_timm
    from harness.methods.baselines.amt import AMT
    from harness.methods.baselines.contrastivecrop import ContrastiveCrop
    from harness.methods.baselines.mae import MAE
    from harness.methods.baselines.mocov3 import MoCoV3
    from harness.methods.baselines.simclr import SimCLR
    from harness.methods.baselines.simmim import SimMIM
    from harness.methods.baselines.supervised import ResNet50, Swin
    from harness.methods.baselines.timm_nets import TimmClassifier, TimmMoCoV3, TimmSimCLR
    from harness.methods.msmae import differences, masking, paper
    from harness.methods.msmae.decoder import Decoder
    from harness.methods.msmae.finetune import Classifier, Finetune, load_encoder
    from harness.methods.msmae.masking import Masks, check_ratios
    from harness.methods.msmae.method import (
        MSMAE,
        ClassHead,
        GuidedMasking,
        MaskedAutoencoder,
        reconstruction_loss,
    )
    from harness.methods.msmae.patches import (
        normalise_patches,
        patchify,
        sincos_table,
        unpatchify,
    )
    from harness.methods.msmae.saliency import AttentionMaps, MapSettings
    from harness.methods.msmae.segmentation import Segment, Segmenter, dice_loss
    from harness.methods.msmae.vit import VisionTransformer
    from harness.plan.catalog import experiments, load_sweep
    from harness.plan.catalog import load as load_table
    from harness.plan.options import Options
    from harness.plan.plan import Plan
    from harness.plan.plan import make as make_plan
    from harness.progress import Progress
    from harness.provenance import choose_device
    from harness.results.compare import Differences, compare
    from harness.results.load import load
    from harness.results.result import Result
    from harness.results.run import run
    from harness.spec.backbones import (
        RESNET,
        SWIN,
        VIT,
        Backbone,
        BackboneSizes,
        ResNetSize,
        SwinSize,
        VitSize,
    )
    from harness.spec.claim import HALF_A_POINT, Change, Claim, Margin, Ordering, one_image
    from harness.spec.dataset import Dataset, Item, Listing, Source
    from harness.spec.explanation import SAM_HIDES, Explanation
    from harness.spec.printed import Printed
    from harness.spec.profile import Profile, Scale
    from harness.spec.profiles import LAPTOP, PAPER, PROFILES, SMOKE
    from harness.spec.quantity import Metric
    from harness.spec.recipe import (
        EPOCHS,
        PER_STEP,
        Checked,
        Method,
        NeedsMasks,
        Order,
        Phase,
        Prepared,
        Recipe,
        Stage,
    )
    from harness.spec.space import Choice, Dimension, Real, Space, SumAtMost, Whole
    from harness.spec.sweep import Sweep
    from harness.spec.table import Column, Curve, Curves, Panels, Row, Scatter, Table
    from harness.spec.weights import Weights
    from harness.store.record import Record, Records
    from harness.train.task import AugmentedPass, Batch, DatasetPass, Layers, StepContext, Task

__all__ = [  # noqa: RUF022 (grouped by what they are for)
    # Tables and sweeps.
    "Table",
    "Row",
    "Column",
    "Printed",
    "Scatter",
    "Panels",
    "Claim",
    "Ordering",
    "Change",
    "Margin",
    "one_image",
    "HALF_A_POINT",
    "Curves",
    "Curve",
    "Explanation",
    "SAM_HIDES",
    "Sweep",
    "Space",
    "Real",
    "Whole",
    "Choice",
    "Dimension",
    "SumAtMost",
    # Weights that a row starts from, and trained encoders as timm's.
    "Weights",
    "to_timm",
    "TimmEncoder",
    "encoder_weights",
    # Stages: a method under a recipe.
    "Stage",
    "Recipe",
    "Phase",
    "Order",
    # What a method's settings declare and implement.
    "Method",
    "Checked",
    "Prepared",
    "NeedsMasks",
    "EPOCHS",
    "PER_STEP",
    "as_before",
    "UserError",
    # What a method trains.
    "Task",
    "Batch",
    "StepContext",
    "DatasetPass",
    "AugmentedPass",
    "Layers",
    # Backbones and their sizes.
    "Backbone",
    "BackboneSizes",
    "VIT",
    "VitSize",
    "SWIN",
    "SwinSize",
    "RESNET",
    "ResNetSize",
    # Views of an image.
    "Augmentation",
    "RotatingAugmentation",
    "Colour",
    "RandAugment",
    "Erasing",
    "Mixing",
    "Evaluation",
    "random_boxes",
    "cut",
    "normalise",
    # Parts of masked autoencoders.
    "VisionTransformer",
    "Decoder",
    "patchify",
    "unpatchify",
    "normalise_patches",
    "sincos_table",
    "masking",
    "Masks",
    "check_ratios",
    "MapSettings",
    "AttentionMaps",
    "GuidedMasking",
    "MaskedAutoencoder",
    "ClassHead",
    "reconstruction_loss",
    "Classifier",
    "load_encoder",
    "Segmenter",
    "dice_loss",
    # Settings of the methods that ship, and the modules with their recipes and stages.
    "paper",
    "differences",
    "MSMAE",
    "Finetune",
    "Segment",
    "amt",
    "AMT",
    "contrastivecrop",
    "ContrastiveCrop",
    "mae",
    "MAE",
    "mocov3",
    "MoCoV3",
    "simclr",
    "SimCLR",
    "simmim",
    "SimMIM",
    "supervised",
    "ResNet50",
    "Swin",
    "timm_nets",
    "TimmClassifier",
    "TimmSimCLR",
    "TimmMoCoV3",
    # Data sets, metrics and profiles.
    "Dataset",
    "Item",
    "Listing",
    "Source",
    "Metric",
    "Profile",
    "Scale",
    "SMOKE",
    "LAPTOP",
    "PAPER",
    "PROFILES",
    # Launchers: how a command's workers are started.
    "Launcher",
    "Work",
    "WorkerConfig",
    "WorkerEnd",
    # Notebooks: run, load, compare (docs/python.md).
    "run",
    "load",
    "compare",
    "Result",
    "Differences",
    # Notebooks: what exists, plans, prepared images and records.
    "experiments",
    "datasets",
    "load_table",
    "load_sweep",
    "Options",
    "make_plan",
    "Plan",
    "open_store",
    "Store",
    "ImageStore",
    "Records",
    "Record",
    # Notebooks: training what a plan lacks. These alone may still change.
    "choose_device",
    "ExecutionOptions",
    "Executor",
    "Outcome",
    "Progress",
]


@functools.cache
def _imports() -> Mapping[str, Import]:
    """Return the import of each name, parsed from the ``TYPE_CHECKING`` block above."""
    return parse(Path(__file__).read_bytes()).lazy


def _load(name: str) -> Any:
    source = _imports()[name]
    module = importlib.import_module(source.module)
    try:
        return getattr(module, source.name or name)
    except AttributeError:  # the name is a submodule, which is no attribute before its import
        return importlib.import_module(f"{source.module}.{source.name}")


if not TYPE_CHECKING:  # with a module __getattr__ type checkers accept any name

    def __getattr__(name):
        if name not in __all__:
            text = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=sys.modules[__name__])
        return _load(name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Let torchvision's CUDA wheel import beside a CPU build of torch.

Run by ``import torch`` through the ``torch.backends`` entry point. torchvision registers shapes for
two of its compiled operators without asking whether they were loaded; where they were not,
declaring them is all that the import needs. Does nothing wherever torchvision matches torch.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

UNGUARDED = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def autoload() -> None:
    """Declare the two operators if torchvision's library does not load beside a CPU torch."""
    import torch

    if torch.version.cuda is not None or torch.version.hip is not None:
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _loads(Path(spec.origin).parent):
        return
    for name in UNGUARDED:
        torch.library.define(f"torchvision::{name}", SCHEMA)


def _loads(folder: Path) -> bool:
    import torch

    for suffix in EXTENSION_SUFFIXES:
        library = folder / f"_C{suffix}"
        if library.exists():
            try:
                torch.ops.load_library(str(library))
            except OSError:
                return False
            return True
    return False

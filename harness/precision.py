"""The precision of a step."""

from __future__ import annotations

import torch


def autocast(device: torch.device) -> torch.autocast:
    """Return the precision of a step: bfloat16 where there is CUDA, float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")

"""Latency of ViT-B's forward over 197 and 50 tokens, as in the paper's Table 3."""

from __future__ import annotations

from typing import Any

import torch

from harness.latency import processes as protocol
from harness.latency.processes import Request

MODEL = "vit_base_patch16"
TOKENS = (197, 50)
BATCHES = (1, 64, 256)
PRECISIONS = ("fp32", "fp16", "bf16")
ROUNDS, PROCESSES = 50, 3


def measured(device: torch.device, precision: str, batch: int, *, tiny: bool) -> dict[str, Any]:
    """Return medians, quartile ranges and the median ratio, timed interleaved in several processes.

    Raw times are left out: the record is to be small. ``tiny`` takes a small model for a test.
    """
    tokens = (65, 17) if tiny else TOKENS
    request = Request(
        subjects=protocol.subjects([MODEL], tokens, ["deployed"]),
        profile="smoke" if tiny else "paper",
        batch=batch,
        precision=precision,
        device=device.type,
        rounds=6 if tiny else ROUNDS,
    )
    found = protocol.run(request, 1 if tiny else PROCESSES)
    all_tokens, kept = found.times
    (ratio,) = found.ratios
    return {
        "precision": precision,
        "batch": batch,
        "tokens": list(tokens),
        "ms": [1000 * all_tokens.p50, 1000 * kept.p50],
        "iqr_ms": [1000 * all_tokens.iqr, 1000 * kept.iqr],
        "ratio": ratio.p50,
        "interval": None if ratio.low is None else [ratio.low, ratio.high],
        "verdict": "noisy" if found.noisy else "quiet",
        **found.processes[0]["state"][-1],
    }

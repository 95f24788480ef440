"""ViT-B's forward over 197 and over 50 tokens on a CUDA device; writes reports/gpu/latency.json.

Every pair is interleaved (``harness.latency``), for each batch size and precision. Without a CUDA
device nothing is written and the benchmark says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from harness import files, provenance
from harness.latency import processes as protocol
from harness.latency.processes import Request

OUT = Path(__file__).parent.parent / "reports" / "gpu" / "latency.json"
MODEL = "vit_base_patch16"
TOKENS = (197, 50)
BATCHES = (1, 64, 256)
PRECISIONS = ("fp32", "fp16", "bf16")


def measure() -> Iterator[dict]:
    """Yield the ratio of 50 to 197 tokens for each batch size and precision, and write all."""
    if not torch.cuda.is_available():
        yield {"what": "ViT-B, 50 / 197 tokens", "skipped": "there is no CUDA device"}
        return
    found = record(requests("cuda"))
    files.write_json(OUT, found)
    for one in found["latencies"]:
        request = one["request"]
        (ratio,) = one["ratio_to_first"].values()
        yield {
            "what": f"{MODEL}, 50 / 197 tokens, batch {request['batch']}, {request['precision']}",
            "ratio": round(ratio["p50"], 4),
            "median_95": ratio["median_95"],
            "verdict": one["verdict"],
        }


def requests(device: str) -> list[Request]:
    """Return what is measured: every batch size in every precision."""
    return [
        Request(
            subjects=protocol.subjects([MODEL], TOKENS, ["deployed"]),
            batch=batch,
            precision=precision,
            device=device,
            rounds=50,
        )
        for precision in PRECISIONS
        for batch in BATCHES
    ]


def record(asked: Sequence[Request], processes: int = 3) -> dict[str, Any]:
    """Measure and return plain values: versions, commit, and each latency with its raw times."""
    commit, dirty = provenance.commit()
    latencies = [protocol.run(request, processes).to_json() for request in asked]
    return {
        "model": MODEL,
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "device": latencies[0]["processes"][0]["device"],
        "latencies": latencies,
    }

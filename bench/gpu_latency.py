"""Latency of ViT-B's forward with 197 and 50 tokens on CUDA; writes reports/gpu/latency.json.

The two are timed interleaved (``harness.latency``) for each batch size and precision. Without a
CUDA device, the benchmark is skipped and writes nothing.
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
    """Write all latencies; yield the ratio of 50 to 197 tokens by batch size and precision."""
    if not torch.cuda.is_available():
        yield {"what": "ViT-B, 50 / 197 tokens", "skipped": "there is no CUDA device"}
        return
    result = record(requests("cuda"))
    files.write_json(OUT, result)
    for latency in result["latencies"]:
        request = latency["request"]
        (ratio,) = latency["ratio_to_first"].values()
        yield {
            "what": f"{MODEL}, 50 / 197 tokens, batch {request['batch']}, {request['precision']}",
            "ratio": round(ratio["p50"], 4),
            "median_95": ratio["median_95"],
            "verdict": latency["verdict"],
        }


def requests(device: str) -> list[Request]:
    """Return one request for each batch size and precision."""
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


def record(timing_requests: Sequence[Request], processes: int = 3) -> dict[str, Any]:
    """Run the requests; return plain values: versions, commit, and latencies with raw times."""
    commit, dirty = provenance.commit()
    latencies = [protocol.run(request, processes).to_json() for request in timing_requests]
    return {
        "model": MODEL,
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "device": latencies[0]["processes"][0]["device"],
        "latencies": latencies,
    }

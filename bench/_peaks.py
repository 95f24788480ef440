"""Dense bfloat16 peaks of CUDA devices, from their makers' data sheets."""

from __future__ import annotations

PEAKS = {
    "H200": 989.4e12,
    "H100 PCIe": 756.0e12,
    "H100": 989.4e12,
    "A100": 312.0e12,
    "L40S": 362.0e12,
    "L4": 121.0e12,
    "A10G": 70.0e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71.0e12,
}
"""FLOP/s by a part of the device's name, without sparsity, with sums in float32; of several parts
that fit, the first counts."""


def peak(name: str) -> float | None:
    """Return a device's bfloat16 peak in FLOP/s by its name; None where it is not in the table."""
    words = name.replace("NVIDIA", "").replace("GeForce", "").split()
    for part, flops in PEAKS.items():
        wanted = part.split()
        if any(words[i : i + len(wanted)] == wanted for i in range(len(words))):
            return flops
    first = words[0].partition("-")[0] if words else ""  # "A100-SXM4-80GB"
    return PEAKS.get(first)

"""Paired speed benchmarks: each prints ratios, taken in turns, never a lone time."""

"""Paired speed benchmarks: each prints ratios of interleaved times."""

"""Latency of passes, measured by a protocol: warm-up, interleaving, several processes."""

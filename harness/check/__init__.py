"""Conformance of methods: what the training loop, keys and resuming rely on."""

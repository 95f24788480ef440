"""Frozen values that describe experiments; nothing here imports torch."""

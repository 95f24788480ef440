"""Metrics, and the evaluation of classifiers and segmenters."""

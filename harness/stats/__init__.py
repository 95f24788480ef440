"""Intervals, tests, power and resampling, each in the module of its name."""

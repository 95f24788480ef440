"""Masked image modelling and the paper's method; baselines build on its parts."""

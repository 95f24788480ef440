"""Hyperparameter sweeps with Optuna: studies, their trials and their reports."""

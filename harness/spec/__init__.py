"""Immutable descriptions of experiments: data sets, recipes, tables; nothing imports torch."""

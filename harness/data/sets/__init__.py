"""Shipped data sets, one module each."""

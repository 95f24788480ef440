"""Checks of published numbers: whether a printed value is arithmetically possible."""

"""Runs, tables, verdicts and comparisons as values, for Python and for the command line."""

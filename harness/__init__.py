"""Framework that reproduces a published table: training runs, records and rendered tables."""

__version__ = "0.2.0"

"""Framework that turns a published table into runs, records and a verdict; it knows no method."""

__version__ = "0.1.0"

"""Framework that turns a published table into runs, records and a verdict; it knows no method."""

__version__ = "0.2.0"

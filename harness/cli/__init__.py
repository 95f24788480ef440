"""Command line of the harness: one module per command."""

"""Launchers, the ways to start workers: each module defines one as ``LAUNCHER``."""

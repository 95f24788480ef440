"""Launchers: every module that defines ``LAUNCHER`` is one way to start workers."""

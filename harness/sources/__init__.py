"""Digests of source code, and loading of users' files from their text."""

"""Lay records out as tables: the grid once, then Markdown, LaTeX, JSON and the terminal."""

"""Figures of finished runs, one module per figure; ``registry`` names them."""

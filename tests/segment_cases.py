"""A tiny segmenter for tests."""

from __future__ import annotations

from harness import seed
from harness.methods.msmae import paper
from harness.methods.msmae.segmentation import Segment, Segmenter
from tests import tiny


def segmenter(settings: Segment = paper.SEGMENT, name: str = "a") -> Segmenter:
    """Build a segmenter whose values depend on the name."""
    with seed.third_party("segment", name):
        task = settings.build(tiny.dataset(), tiny.ENCODERS)
    assert isinstance(task, Segmenter)
    return task

"""Which images of a data set figures show: chosen by class and name, never by any result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def choose(names: Sequence[str], labels: np.ndarray, count: int) -> list[int]:
    """Choose images by class and name only, and return their positions.

    Classes take turns; within a class, images come in the order of their names' SHA-256.

    Args:
        names: names of n images.
        labels: (n,) class of each image.
        count: largest number of images to choose.
    """
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).digest())
    turns: dict[int, int] = {}
    ranks = []  # (turn, class, position): sorting takes one image of each class per turn
    for row in order:
        label = int(labels[row])
        turns[label] = turns.get(label, -1) + 1
        ranks.append((turns[label], label, row))
    return [row for _, _, row in sorted(ranks)[:count]]

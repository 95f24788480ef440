"""``harness list``: list experiments, methods, data sets and profiles.

Summaries are read from docstrings, without importing the files or torch.
"""

from __future__ import annotations

import argparse

from harness.console import note, say
from harness.data import registry
from harness.plan import catalog
from harness.plan.settings import folder_of
from harness.spec.profiles import PROFILES


def run(args: argparse.Namespace) -> int:
    """Print experiments, methods, data sets and profiles."""
    root = folder_of("HARNESS_DATA", "data")
    del args
    catalogued = catalog.experiments().values()
    experiments = [(c.name, c.summary) for c in catalogued if not c.sweep]
    sweeps = [(c.name, c.summary) for c in catalogued if c.sweep]
    methods = [(c.name, c.summary) for c in catalog.methods().values()]
    datasets = [
        (d.name, f"{d.title}: {sum(d.counts)} images, {len(d.classes)} classes")
        for d in registry.datasets(root).values()
    ]
    profiles = [
        (
            p.name,
            f"{p.backbones.image_size} px, ViT {p.backbones.vit.width}x{p.backbones.vit.depth},"
            f" at most {p.train_images or 'all'} training images",
        )
        for p in PROFILES.values()
    ]
    for title, lines in (
        ("Experiments", experiments),
        ("Sweeps (harness sweep NAME)", sweeps),
        ("Methods", methods),
        ("Data sets", datasets),
        ("Profiles", profiles),
    ):
        say(f"{title}:")
        width = max((len(name) for name, _ in lines), default=0)
        for name, text in lines:
            say(f"  {name:<{width}}  {text}")
    for problem in registry.problems(root):
        note(problem)
    return 0
